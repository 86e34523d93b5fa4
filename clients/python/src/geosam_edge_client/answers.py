"""What a board answers, as values. Pure: reads the JSON of the contract, and keeps it in `raw`.

Not here: refusals (`errors`), frames (`frames`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import BoardError, refusal
from .frames import frame_of

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

    from .prompts import Json

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A mask of an answer: there are three with `multimask`, else one.

    Attributes:
        index: what the property `mask` of the Features names.
        score: the IoU that the model predicts; may lie outside 0..1.
        pixels: of the mask; 0 where it is empty.
        chip_id: the chip that answered.
        cut_at: sides of the chip that cut it, of `top`, `right`, `bottom`, `left`.
    """

    index: int
    score: float
    pixels: int
    chip_id: str
    cut_at: tuple[str, ...]


@dataclass(frozen=True)
class Segmentation:
    """The answer to one prompt set.

    Attributes:
        id: of the request, or of the entry of a batch.
        collection: FeatureCollection of polygons, in EPSG:4326 unless `output.crs` said otherwise.
        candidates: the masks that the polygons belong to, also where one is empty.
        timing_ms: `queue`, `load`, `decode`, `vectorize`.
        chip_bbox: bounds of the chip that answered; `None` for an object that was followed.
        tolerance: of simplification in source pixels, where it was simplified.
        chips: of an object that was followed, those that took part.
        complete: of an object that was followed, whether it ends within them.
        incomplete_because: why not: `raster_edge`, `max_chips`, `disagreement`.
        properties: those of the Feature that was asked for, in a batch.
        raw: the answer as it came.
    """

    id: str | int | None
    collection: Json
    candidates: tuple[Candidate, ...]
    timing_ms: dict[str, float]
    chip_bbox: tuple[float, ...] | None
    tolerance: float | None
    chips: tuple[str, ...]
    complete: bool | None
    incomplete_because: tuple[str, ...]
    properties: Json | None
    raw: Json = field(repr=False, compare=False)

    @property
    def features(self) -> list[Json]:
        """The polygons as GeoJSON Features."""
        features: list[Json] = self.collection["features"]
        return features

    @property
    def empty(self) -> bool:
        """Whether nothing was found."""
        return not self.features

    @property
    def score(self) -> float:
        """The first mask's; 0 where there is none."""
        return self.candidates[0].score if self.candidates else 0.0

    @property
    def area_m2(self) -> float:
        """Geodesic area of all polygons."""
        return float(sum(feature["properties"].get("area_m2", 0.0) for feature in self.features))

    @property
    def __geo_interface__(self) -> Json:
        return self.collection

    def to_geodataframe(self) -> GeoDataFrame:
        """The polygons as rows. Needs geopandas."""
        return frame_of(self.collection)


@dataclass(frozen=True)
class SavedObject:
    """An object that is in a layer now.

    Attributes:
        id: stable; what `update`, `delete` and `fetch` take.
        layer: where it is.
        feature: GeoJSON Feature in EPSG:4326; `None` in a batch, whose answer has no outlines.
        raw: the answer's member `saved` as it came.
    """

    id: str
    layer: str
    feature: Json | None
    raw: Json = field(repr=False, compare=False)

    @property
    def __geo_interface__(self) -> Json:
        if self.feature is None:
            raise AttributeError("the answer to a batch has no outlines: fetch them")
        return self.feature


@dataclass(frozen=True)
class BatchEntry(Generic[T]):
    """What became of one object of a batch.

    Attributes:
        id: as it was given; `None` without.
        result: the answer; `None` where it was refused.
        error: why it was refused; not raised, since the others were not.
    """

    id: str | int | None
    result: T | None
    error: BoardError | None

    def unwrap(self) -> T:
        """The answer.

        Raises:
            BoardError: where it was refused.
        """
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise ValueError("the board answered neither with a result nor with an error")
        return self.result


@dataclass(frozen=True)
class SavedObjects:
    """Objects of a layer, as they stand there.

    Attributes:
        layer: the layer.
        features: GeoJSON Features in EPSG:4326.
        total: objects of the whole layer.
    """

    layer: str
    features: list[Json]
    total: int

    @property
    def __geo_interface__(self) -> Json:
        return {"type": "FeatureCollection", "features": self.features}

    def to_geodataframe(self) -> GeoDataFrame:
        """The objects as rows, their ids as index. Needs geopandas."""
        frame: Any = frame_of(self.__geo_interface__)
        return frame.set_index("id", drop=False)


@dataclass(frozen=True)
class Page(SavedObjects):
    """A page of a layer.

    Attributes:
        next: place in the layer where the next page begins; `None` at the end.
    """

    next: int | None


@dataclass(frozen=True)
class Progress:
    """How far `everything` is.

    Attributes:
        done: chips.
        total: chips.
        objects: in the layer so far.
    """

    done: int
    total: int
    objects: int


@dataclass(frozen=True)
class Found:
    """What `everything` found.

    Attributes:
        objects: in the layer.
        chips: that were asked.
        chips_skipped: that could not be read.
        raw: the answer's member `everything` as it came.
    """

    folder: str
    layer: str
    objects: int
    chips: int
    chips_skipped: int
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True)
class Listing:
    """What a board has; entries as the contract's `list` has them.

    Attributes:
        sessions: this client's, those with prompts.
    """

    folders: list[Json]
    layers: list[Json]
    models: list[Json]
    sessions: list[Json]


def segmentation(answer: Json) -> Segmentation:
    """Of an answer to `segment`, `add`, `undo` or `clear`, or an entry of a batch."""
    candidates = tuple(
        Candidate(
            int(mask["index"]),
            float(mask["score"]),
            int(mask["pixels"]),
            str(mask["chip_id"]),
            tuple(mask.get("cut_at", ())),
        )
        for mask in answer["masks"]
    )
    bounds = answer.get("chip_bbox")
    return Segmentation(
        id=answer.get("id"),
        collection=answer["result"],
        candidates=candidates,
        timing_ms=answer["timing_ms"],
        chip_bbox=None if bounds is None else tuple(bounds),
        tolerance=answer.get("tolerance"),
        chips=tuple(answer.get("chips", ())),
        complete=answer.get("complete"),
        incomplete_because=tuple(answer.get("incomplete_because", ())),
        properties=answer.get("properties"),
        raw=answer,
    )


def saved(answer: Json) -> SavedObject:
    """Of an answer to `save`, or an entry of a batch."""
    what: Json = answer["saved"]
    return SavedObject(str(what["id"]), str(what["layer"]), what.get("feature"), what)


def segmentations(answer: Json) -> list[BatchEntry[Segmentation]]:
    """Of a batch of `segment`, in the order that it was asked in."""
    return [_entry(result, segmentation(result) if result["status"] == "ok" else None) for result in answer["results"]]


def saves(answer: Json) -> list[BatchEntry[SavedObject]]:
    """Of a batch of `save`, in the order that it was asked in."""
    return [_entry(result, saved(result) if result["status"] == "ok" else None) for result in answer["results"]]


def _entry(result: Json, read: T | None) -> BatchEntry[T]:
    return BatchEntry(result.get("id"), read, None if read is not None else refusal(result))


def page(answer: Json) -> Page:
    """Of an answer to `fetch`."""
    following: Any = answer["next"]
    return Page(str(answer["layer"]), answer["features"], int(answer["total"]), following)


def unsaved(answer: Json) -> str:
    """The id that `unsave` took out."""
    return str(answer["unsaved"]["id"])


def updated(answer: Json) -> list[str]:
    """The ids that `update` changed."""
    return list(answer["updated"]["ids"])


def deleted(answer: Json) -> list[str]:
    """The ids that `delete` took out."""
    return list(answer["deleted"]["ids"])


def cancelled(answer: Json) -> int:
    """How many requests `cancel` took back."""
    return int(answer["cancelled"])


def found(answer: Json) -> Found:
    """Of the answer to `everything`."""
    what: Json = answer["everything"]
    return Found(what["folder"], what["layer"], what["objects"], what["chips"], what["chips_skipped"], what)


def progress(answer: Json) -> Progress:
    """Of what comes before the answer to `everything`."""
    return Progress(answer["done"], answer["total"], answer["objects"])


def listing(answer: Json) -> Listing:
    """Of an answer to `list`."""
    return Listing(answer["folders"], answer["layers"], answer["models"], answer["sessions"])
