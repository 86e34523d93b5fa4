"""Boards for ordinary programs: each call blocks until the board has answered. `aio` has the same for asyncio."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from . import answers, calls
from .connection import Connection, Settings
from .errors import GeosamError, Superseded, refusal

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .answers import BatchEntry, Found, Listing, Page, Progress, SavedObject, SavedObjects, Segmentation
    from .calls import Call, FetchArgs, OutputArgs, RequestArgs, SaveArgs, SegmentArgs
    from .prompts import Drawn, Everything, Json, Position, Prompt

T = TypeVar("T")


class Broker:
    """A connection to a broker, as `connect` opens it; a context manager that closes it."""

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._connection.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the broker."""
        self._connection.close()

    @property
    def client(self) -> str:
        """This client's name."""
        return self._connection.client

    def boards(self) -> dict[str, str]:
        """Boards that have ever told the broker their state, and their states now: `online`, `offline`."""
        return self._connection.boards()

    def board(self, name: str | None = None, *, check: bool = True) -> Board:
        """The board of this name, or the only one there is.

        Args:
            check: `False` takes the board for there, where the access list hides states.

        Raises:
            NoSuchBoard: says which boards there are.
            RefusedByBroker: answers may not be listened to.
        """
        if name is not None and not check:
            self._connection.listen(name)
            return Board(self._connection, name)
        return Board(self._connection, self._connection.find(name))


def connect(
    host: str = "127.0.0.1",
    port: int = 1883,
    *,
    client: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    protocol: Literal["5", "3.1.1"] = "5",
    timeout: float = 60.0,
    root: str = "geosam",
) -> Broker:
    """Connects to a broker; the arguments are those of `Settings`.

    Raises:
        CannotConnect: nothing takes connections there.
        RefusedByBroker: the broker does not let us in.
    """
    return Broker(
        Settings(
            host=host,
            port=port,
            client=client,
            username=username,
            password=password,
            ca=ca,
            cert=cert,
            key=key,
            protocol=protocol,
            timeout=timeout,
            root=root,
        )
    )


class Board:
    """One board. Every method raises `BoardError` where the board refuses, and `NoAnswer` where it does not answer in time."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self.name = name

    def __repr__(self) -> str:
        return f"Board({self.name!r}, {self.state!r})"

    @property
    def state(self) -> str | None:
        """What the board has last told: `online`, `offline`, or nothing."""
        return self._connection.state(self.name)

    @property
    def info(self) -> Json | None:
        """What the board tells of itself: versions, engine, models, bounds."""
        return self._connection.info(self.name)

    def segment(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation:
        """The object under points, in a box, or both; or under what was drawn on a map. Nothing is kept."""
        return self._ask(calls.segment(drawn, given))

    def preview(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation | None:
        """The same with QoS 0, for pointers that move: `None` where a newer preview of this client took its place."""
        try:
            return self._ask(calls.preview(drawn, given))
        except Superseded:
            return None

    def segment_many(self, prompts: Iterable[Prompt] | Drawn, /, **given: Unpack[SegmentArgs]) -> list[BatchEntry[Segmentation]]:
        """Many objects in one request, in their order; a FeatureCollection or GeoDataFrame has an object a Feature."""
        return self._ask(calls.segment_many(prompts, given))

    def save(self, layer: str, drawn: Drawn | None = None, /, **given: Unpack[SaveArgs]) -> SavedObject:
        """Asks for an object and appends it to a layer, which begins with it."""
        return self._ask(calls.save(layer, drawn, given))

    def save_many(
        self, layer: str, prompts: Iterable[Prompt] | Drawn, /, **given: Unpack[SaveArgs]
    ) -> list[BatchEntry[SavedObject]]:
        """Many objects in one request, each saved or refused by itself."""
        return self._ask(calls.save_many(layer, prompts, given))

    def session(self, name: str | None = None) -> Session:
        """A session of this client: an object that is built prompt by prompt."""
        return Session(self._connection, self.name, name or f"s-{uuid.uuid4().hex[:12]}")

    def fetch(self, layer: str, /, *, limit: int | None = None, **given: Unpack[FetchArgs]) -> SavedObjects:
        """Objects of a layer, all pages of them, or the first `limit`."""
        features: list[Json] = []
        total = 0
        for page in self.pages(layer, size=min(limit or calls.PAGE, calls.PAGE), **given):
            features += page.features
            total = page.total
            if limit is not None and len(features) >= limit:
                break
        return answers.SavedObjects(layer, features if limit is None else features[:limit], total)

    def pages(self, layer: str, /, *, size: int = calls.PAGE, **given: Unpack[FetchArgs]) -> Iterator[Page]:
        """The same, page by page of at most so many objects, or as many as an answer holds."""
        offset: int | None = 0
        while offset is not None:
            page = self._ask(calls.fetch(layer, offset, size, given))
            yield page
            offset = page.next

    def update(
        self,
        layer: str,
        ids: Iterable[str],
        /,
        *,
        properties: Mapping[str, Any] | None = None,
        to_layer: str | None = None,
        **given: Unpack[RequestArgs],
    ) -> list[str]:
        """Changes properties of saved objects (`None` takes one out), moves them to another layer, or both: all or none."""
        return self._ask(calls.update(layer, ids, {"properties": properties, "to_layer": to_layer, **given}))

    def delete(self, layer: str, ids: Iterable[str], /, **given: Unpack[RequestArgs]) -> list[str]:
        """Takes saved objects out of their layer: all of them, or none."""
        return self._ask(calls.delete(layer, ids, given))

    def everything(
        self,
        layer: str,
        /,
        *,
        folder: str | None = None,
        bbox: Position | None = None,
        crs: str | int | None = None,
        grid: Everything | None = None,
        properties: Mapping[str, Any] | None = None,
        progress: Callable[[Progress], None] | None = None,
        **given: Unpack[RequestArgs],
    ) -> Found:
        """Finds all objects of a folder, or of an area, and appends each once to a layer.

        Args:
            progress: called after each chip, in this thread. `timeout` is the longest silence.
        """
        more = {"folder": folder, "bbox": bbox, "crs": crs, "properties": properties}
        return self._ask(calls.everything(layer, grid, {**more, **given}), progress)

    def list(self, **given: Unpack[RequestArgs]) -> Listing:
        """Folders, layers, models, and this client's sessions."""
        return self._ask(calls.listing(given))

    def cancel(self, request_id: str | None = None, **given: Unpack[RequestArgs]) -> int:
        """Takes back a request of this client that waits, or all of them; says how many."""
        return self._ask(calls.cancel(request_id, given))

    def _ask(self, call: Call[T], progress: Callable[[Progress], None] | None = None) -> T:
        return ask(self._connection, self.name, call, progress)


class Session:
    """An object that is built prompt by prompt on the board."""

    def __init__(self, connection: Connection, board: str, name: str) -> None:
        self._connection = connection
        self._board = board
        self.name = name

    def add(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation:
        """Adds prompts; a new box takes the place of the old. The answer is the mask of all prompts."""
        return self._ask(calls.add(self.name, drawn, given))

    def undo(self, **given: Unpack[OutputArgs]) -> Segmentation:
        """Takes back the last prompt: one point, or the box."""
        return self._ask(calls.undo(self.name, given))

    def clear(self, **given: Unpack[RequestArgs]) -> None:
        """Takes back all prompts."""
        self._ask(calls.clear(self.name, given))

    def save(self, layer: str, /, *, properties: Mapping[str, Any] | None = None, **given: Unpack[OutputArgs]) -> SavedObject:
        """Appends what the last answer showed to a layer; the session is empty then."""
        return self._ask(calls.save(layer, None, {"session": self.name, "properties": properties, **given}))

    def unsave(self, layer: str, /, **given: Unpack[RequestArgs]) -> str:
        """Takes back the last object that this session saved in this layer, and says its id; again the one before it."""
        return self._ask(calls.unsave(self.name, layer, given))

    def _ask(self, call: Call[T]) -> T:
        return ask(self._connection, self._board, call)


def ask(connection: Connection, board: str, call: Call[T], progress: Callable[[Progress], None] | None = None) -> T:
    """Sends a request and waits for its answer. Of `everything`, each progress begins the wait anew."""
    heard: queue.SimpleQueue[Json | GeosamError] = queue.SimpleQueue()
    patience = connection.settings.timeout if call.timeout is None else call.timeout
    waiting = connection.send(board, call, heard.put)
    try:
        until = time.monotonic() + patience
        while True:
            # In slices: on Windows a long wait is deaf to Ctrl-C.
            try:
                answer = heard.get(timeout=max(0.0, min(1.0, until - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= until:
                    raise connection.too_late(waiting, patience) from None
                continue
            if isinstance(answer, GeosamError):
                raise answer
            if answer["status"] != "progress":
                break
            until = time.monotonic() + patience
            if progress is not None:
                progress(answers.progress(answer))
    finally:
        connection.forget(waiting)
    if answer["status"] == "error":
        raise refusal(answer)
    return call.read(answer)
