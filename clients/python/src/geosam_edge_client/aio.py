"""Boards for asyncio: the methods of `client`, to be awaited. Documented there.

paho's network thread stays a thread (so it is on Windows, too); what it hears is handed to the event loop.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
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


class AsyncBroker:
    """A connection to a broker, opened by `async with`."""

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._connection.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leaves the broker."""
        await asyncio.to_thread(self._connection.close)

    @property
    def client(self) -> str:
        """This client's name."""
        return self._connection.client

    async def boards(self) -> dict[str, str]:
        """See `Broker.boards`."""
        return await asyncio.to_thread(self._connection.boards)

    async def board(self, name: str | None = None, *, check: bool = True) -> AsyncBoard:
        """See `Broker.board`."""
        if name is not None and not check:
            await asyncio.to_thread(self._connection.listen, name)
            return AsyncBoard(self._connection, name)
        return AsyncBoard(self._connection, await asyncio.to_thread(self._connection.find, name))


def connect_async(
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
) -> AsyncBroker:
    """For `async with connect_async(...) as broker`; the arguments are those of `Settings`."""
    return AsyncBroker(
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


class AsyncBoard:
    """One board; see `Board`."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self.name = name

    def __repr__(self) -> str:
        return f"AsyncBoard({self.name!r}, {self.state!r})"

    @property
    def state(self) -> str | None:
        """What the board has last told: `online`, `offline`, or nothing."""
        return self._connection.state(self.name)

    async def info(self) -> Json | None:
        """See `Board.info`."""
        return await asyncio.to_thread(self._connection.info, self.name)

    async def segment(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation:
        """See `Board.segment`."""
        return await self._ask(calls.segment(drawn, given))

    async def preview(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation | None:
        """See `Board.preview`."""
        try:
            return await self._ask(calls.preview(drawn, given))
        except Superseded:
            return None

    async def segment_many(
        self, prompts: Iterable[Prompt] | Drawn, /, **given: Unpack[SegmentArgs]
    ) -> list[BatchEntry[Segmentation]]:
        """See `Board.segment_many`."""
        return await self._ask(calls.segment_many(prompts, given))

    async def save(self, layer: str, drawn: Drawn | None = None, /, **given: Unpack[SaveArgs]) -> SavedObject:
        """See `Board.save`."""
        return await self._ask(calls.save(layer, drawn, given))

    async def save_many(
        self, layer: str, prompts: Iterable[Prompt] | Drawn, /, **given: Unpack[SaveArgs]
    ) -> list[BatchEntry[SavedObject]]:
        """See `Board.save_many`."""
        return await self._ask(calls.save_many(layer, prompts, given))

    def session(self, name: str | None = None) -> AsyncSession:
        """See `Board.session`."""
        return AsyncSession(self._connection, self.name, name or f"s-{uuid.uuid4().hex[:12]}")

    async def fetch(self, layer: str, /, *, limit: int | None = None, **given: Unpack[FetchArgs]) -> SavedObjects:
        """See `Board.fetch`."""
        features: list[Json] = []
        total = 0
        async for page in self.pages(layer, size=min(limit or calls.PAGE, calls.PAGE), **given):
            features += page.features
            total = page.total
            if limit is not None and len(features) >= limit:
                break
        return answers.SavedObjects(layer, features if limit is None else features[:limit], total)

    async def pages(self, layer: str, /, *, size: int = calls.PAGE, **given: Unpack[FetchArgs]) -> AsyncIterator[Page]:
        """See `Board.pages`."""
        offset: int | None = 0
        while offset is not None:
            page = await self._ask(calls.fetch(layer, offset, size, given))
            yield page
            offset = page.next

    async def update(
        self,
        layer: str,
        ids: Iterable[str],
        /,
        *,
        properties: Mapping[str, Any] | None = None,
        to_layer: str | None = None,
        **given: Unpack[RequestArgs],
    ) -> list[str]:
        """See `Board.update`."""
        return await self._ask(calls.update(layer, ids, {"properties": properties, "to_layer": to_layer, **given}))

    async def delete(self, layer: str, ids: Iterable[str], /, **given: Unpack[RequestArgs]) -> list[str]:
        """See `Board.delete`."""
        return await self._ask(calls.delete(layer, ids, given))

    async def everything(
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
        """See `Board.everything`; `progress` is called in the event loop."""
        more = {"folder": folder, "bbox": bbox, "crs": crs, "properties": properties}
        return await self._ask(calls.everything(layer, grid, {**more, **given}), progress)

    async def list(self, **given: Unpack[RequestArgs]) -> Listing:
        """See `Board.list`."""
        return await self._ask(calls.listing(given))

    async def cancel(self, request_id: str | None = None, **given: Unpack[RequestArgs]) -> int:
        """See `Board.cancel`."""
        return await self._ask(calls.cancel(request_id, given))

    async def _ask(self, call: Call[T], progress: Callable[[Progress], None] | None = None) -> T:
        return await ask(self._connection, self.name, call, progress)


class AsyncSession:
    """An object that is built prompt by prompt on the board; see `Session`."""

    def __init__(self, connection: Connection, board: str, name: str) -> None:
        self._connection = connection
        self._board = board
        self.name = name

    async def add(self, drawn: Drawn | None = None, /, **given: Unpack[SegmentArgs]) -> Segmentation:
        """See `Session.add`."""
        return await self._ask(calls.add(self.name, drawn, given))

    async def undo(self, **given: Unpack[OutputArgs]) -> Segmentation:
        """See `Session.undo`."""
        return await self._ask(calls.undo(self.name, given))

    async def clear(self, **given: Unpack[RequestArgs]) -> None:
        """See `Session.clear`."""
        await self._ask(calls.clear(self.name, given))

    async def save(
        self, layer: str, /, *, properties: Mapping[str, Any] | None = None, **given: Unpack[OutputArgs]
    ) -> SavedObject:
        """See `Session.save`."""
        return await self._ask(calls.save(layer, None, {"session": self.name, "properties": properties, **given}))

    async def unsave(self, layer: str, /, **given: Unpack[RequestArgs]) -> str:
        """See `Session.unsave`."""
        return await self._ask(calls.unsave(self.name, layer, given))

    async def _ask(self, call: Call[T]) -> T:
        return await ask(self._connection, self._board, call)


async def ask(connection: Connection, board: str, call: Call[T], progress: Callable[[Progress], None] | None = None) -> T:
    """Sends a request and waits for its answer. A task that is cancelled no longer waits; the board may answer all the same."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Json | GeosamError] = asyncio.Queue()
    patience = connection.settings.timeout if call.timeout is None else call.timeout

    def deliver(answer: Json | GeosamError) -> None:
        # The loop may have ended before the network thread.
        if not loop.is_closed():
            loop.call_soon_threadsafe(heard.put_nowait, answer)

    waiting = connection.send(board, call, deliver)
    try:
        while True:
            try:
                answer = await asyncio.wait_for(heard.get(), patience)
            except asyncio.TimeoutError:
                raise connection.too_late(waiting, patience) from None
            if isinstance(answer, GeosamError):
                raise answer
            if answer["status"] != "progress":
                break
            if progress is not None:
                progress(answers.progress(answer))
    finally:
        connection.forget(waiting)
    if answer["status"] == "error":
        raise refusal(answer)
    return call.read(answer)
