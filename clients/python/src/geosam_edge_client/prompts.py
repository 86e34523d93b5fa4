"""What a caller prompts with, as the members of a request. Pure: checks no more than shapes, the board checks the rest.

Not here: which verb takes which (`calls`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, runtime_checkable

Json: TypeAlias = "dict[str, Any]"
"""A JSON object."""

Position: TypeAlias = "Sequence[float]"
"""x, y: longitude, latitude, or easting, northing."""


@runtime_checkable
class HasGeoInterface(Protocol):
    """What shapely's geometries, GeoDataFrames and many more have."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]: ...


Drawn: TypeAlias = "Mapping[str, Any] | HasGeoInterface"
"""GeoJSON, or what can be asked for it: points (with the property `label` 1 or 0), and at most one area, the box."""


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Outlines that people can use. What is `None` is as inherited, or not done.

    Attributes:
        fill_holes_m2: holes with a smaller geodesic area are filled.
        smooth: over so many source pixels along the outline.
        right_angles: for buildings, where they fit the mask; the property `right_angles` says whether they do.
    """

    fill_holes_m2: float | None = None
    smooth: float | None = None
    right_angles: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the answer looks like. What is `None` is as the contract's default says.

    Attributes:
        crs: CRS of the coordinates, for example `"EPSG:32632"` or `"source"`; not for `save`.
        vectorization: `pixel`, along pixel edges, or `simplified` by `tolerance`.
        tolerance: of simplification, in source pixels.
        largest_only: the polygon with most pixels alone.
        min_area_m2: polygons with a smaller geodesic area are left out.
        finish: outlines that people can use.
        measures: perimeter, orientation and elongation among the properties.
        multimask: `True` gives the model's three candidates, `"best"` the one with the highest predicted IoU.
        max_bytes: of the answer, or of a saved object's geometry.
        on_too_large: `simplify` draws coarser until it fits, `error` refuses.
    """

    crs: str | int | None = None
    vectorization: Literal["pixel", "simplified"] | None = None
    tolerance: float | None = None
    largest_only: bool | None = None
    min_area_m2: float | None = None
    finish: Finish | None = None
    measures: bool | None = None
    multimask: bool | Literal["best"] | None = None
    max_bytes: int | None = None
    on_too_large: Literal["simplify", "error"] | None = None


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Grid and filters of `everything`, with segment-anything's names. What is `None` is as the contract's default says."""

    points_per_side: int | None = None
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float | None = None
    nms_thresh: float | None = None
    min_mask_region_area: int | None = None


class PromptArgs(TypedDict, total=False):
    """Keywords of a prompt.

    Keys:
        points: (x, y) of each.
        labels: 1 foreground, 0 background, one a point; all are foreground without.
        bbox: (west, south, east, north), the box of the object.
        crs: of the prompt, EPSG:4326 without; `"source"` is the folder's.
        folder: where to look; in all folders without.
        output: what the answer looks like.
        stitch: follow the object into neighbouring chips.
        max_chips: over how many.
    """

    points: Iterable[Position]
    labels: Iterable[int]
    bbox: Position
    crs: str | int
    folder: str
    output: Output
    stitch: bool
    max_chips: int


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One object of a batch; what is `None` is as the batch says. Members as those of `PromptArgs`.

    Attributes:
        id: given back with the object's answer.
        properties: kept with a saved object.
    """

    id: str | int | None = None
    points: Iterable[Position] | None = None
    labels: Iterable[int] | None = None
    bbox: Position | None = None
    crs: str | int | None = None
    folder: str | None = None
    output: Output | None = None
    stitch: bool | None = None
    max_chips: int | None = None
    properties: Mapping[str, Any] | None = None


def members(given: Mapping[str, Any]) -> Json:
    """Keywords as members of a request; those that are `None` are not there.

    Raises:
        TypeError: if points or a box are not made of numbers.
    """
    body: Json = {}
    for key, value in given.items():
        if value is None:
            continue
        if key == "points":
            body[key] = [_numbers(point, 2, "a point is (x, y)") for point in _each(value)]
        elif key == "labels":
            body[key] = [int(label) for label in value]
        elif key == "bbox":
            body[key] = _numbers(value, 4, "a box is (west, south, east, north)")
        elif isinstance(value, (Output, Everything)):
            body[key] = asdict(value, dict_factory=_said)
        elif isinstance(value, datetime):
            body[key] = _instant(value)
        else:
            body[key] = value
    return body


def _said(members: list[tuple[str, Any]]) -> Json:
    """What is not `None`."""
    return {name: what for name, what in members if what is not None}


def entry(prompt: Prompt) -> Json:
    """An object of a batch as an entry of `prompts`."""
    return members({name: getattr(prompt, name) for name in Prompt.__dataclass_fields__})


def drawn_request(drawn: Drawn, options: Json) -> Json:
    """GeoJSON with the request's other members in `geosam`, as the contract has it.

    A GeoDataFrame is taken into EPSG:4326. Of Features the id, geometry and properties count.
    """
    shape = _geo_interface(drawn)
    if shape.get("type") == "FeatureCollection":
        body: Json = {"type": "FeatureCollection", "features": [_feature(feature) for feature in shape["features"]]}
    elif shape.get("type") == "Feature":
        body = _feature(shape)
    else:
        body = {"type": "Feature", "properties": {}, "geometry": shape}
    if shape.get("crs") is not None:
        body["crs"] = shape["crs"]
    body["geosam"] = options
    return body


def encode(body: Json) -> bytes:
    """A request as it is sent.

    Raises:
        ValueError: if it holds a number that JSON has not (infinite, or none).
    """
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _geo_interface(drawn: Any) -> Json:
    if hasattr(drawn, "to_crs") and getattr(drawn, "crs", None) is not None:
        drawn = drawn.to_crs(4326)
    shape: object = drawn.__geo_interface__ if isinstance(drawn, HasGeoInterface) else drawn
    # Through JSON: tuples become lists, and numpy's numbers are found out here.
    plain: Json = json.loads(json.dumps(shape, default=_plain))
    return plain


def _feature(feature: Json) -> Json:
    kept: Json = {"type": "Feature", "properties": feature.get("properties") or {}, "geometry": feature.get("geometry")}
    if feature.get("id") is not None:
        kept["id"] = feature["id"]
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} is nothing that JSON can hold")


def _each(points: Any) -> list[Any]:
    listed = list(points)
    if listed and not isinstance(listed[0], (str, Mapping)) and not hasattr(listed[0], "__len__"):
        raise TypeError(f"points are a list of (x, y), and not {listed}")
    return listed


def _numbers(values: Any, count: int, what: str) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise TypeError(f"{what}, and not {values!r}") from None
    if len(numbers) != count:
        raise TypeError(f"{what}, and not {values!r}")
    return numbers


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise TypeError(f"{value!r} has no time zone: the board would have to guess it")
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
