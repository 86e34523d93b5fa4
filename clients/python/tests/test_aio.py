"""The same in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from conftest import Mosquitto, Service
from test_board import FIELD, NOWHERE, POND, SIMPLE

from geosam_edge_client import AsyncBoard, Everything, NoAnswer, NoSuchBoard, Progress, Prompt, connect_async, errors


def run(mosquitto: Mosquitto, play: Callable[[AsyncBoard], Awaitable[None]]) -> None:
    async def played() -> None:
        async with connect_async(port=mosquitto.port) as broker:
            await play(await broker.board("board-7"))

    asyncio.run(played())


def test_many_tasks_share_one_connection(mosquitto: Mosquitto, service: Service) -> None:
    async def play(board: AsyncBoard) -> None:
        points = [POND, FIELD, NOWHERE] * 5
        answers = await asyncio.gather(*(board.segment(points=[at], output=SIMPLE) for at in points), return_exceptions=True)
        assert [isinstance(answer, errors.NoChipCovers) for answer in answers] == [False, False, True] * 5
        assert (await board.list()).sessions == [] and (await board.info()) is not None and board.state == "online"

    run(mosquitto, play)


def test_a_whole_life_of_an_object(mosquitto: Mosquitto, service: Service) -> None:
    async def play(board: AsyncBoard) -> None:
        session = board.session()
        first = await session.add(points=[FIELD], output=SIMPLE)
        await session.add(points=[POND])
        assert (await session.undo()).collection == first.collection
        saved = await session.save("aio", properties={"n": 1})
        assert (await board.fetch("aio")).features == [saved.feature]
        assert await board.update("aio", [saved.id], properties={"n": 2}) == [saved.id]
        assert [page.total async for page in board.pages("aio", size=1)] == [1]
        other = await board.save("aio", points=[POND])
        assert await board.delete("aio", [other.id]) == [other.id]
        assert await session.unsave("aio") == saved.id
        await session.add(points=[POND])
        await session.clear()
        batch = await board.save_many("aio", [Prompt(points=[POND]), Prompt(points=[NOWHERE])])
        assert [entry.error is None for entry in batch] == [True, False]
        assert len(await board.segment_many([Prompt(points=[POND])])) == 1
        heard: list[Progress] = []
        found = await board.everything(
            "aio-found", bbox=(9.1715, 47.6525, 9.1725, 47.6532), grid=Everything(points_per_side=8), progress=heard.append
        )
        assert heard[-1].done == heard[-1].total == found.chips and await board.cancel() == 0

    run(mosquitto, play)


def test_of_previews_the_newest_is_answered(mosquitto: Mosquitto, service: Service) -> None:
    async def play(board: AsyncBoard) -> None:
        answers = await asyncio.gather(*(board.preview(points=[FIELD]) for _ in range(20)))
        assert answers[-1] is not None and sum(answer is None for answer in answers) >= 10

    run(mosquitto, play)


def test_a_task_that_is_cancelled_leaves_nothing_behind(mosquitto: Mosquitto, service: Service) -> None:
    async def play(board: AsyncBoard) -> None:
        task = asyncio.create_task(board.segment(points=[FIELD]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(NoAnswer):
            await board.segment(points=[FIELD], timeout=0.0001)
        assert (await board.segment(points=[POND])).features
        assert not board._connection._waiting and not board._connection._published

    run(mosquitto, play)


def test_a_board_that_is_not_there_is_told(mosquitto: Mosquitto, service: Service) -> None:
    async def ask() -> None:
        async with connect_async(port=mosquitto.port) as broker:
            assert "board-7" in await broker.boards()
            with pytest.raises(NoSuchBoard, match=r"no board is called board-8; there are: .*board-7 \(online\)"):
                await broker.board("board-8")
            unchecked = await broker.board("board-8", check=False)
            with pytest.raises(NoSuchBoard, match="nobody listens at geosam/board-8/request"):
                await unchecked.segment(points=[POND])

    asyncio.run(ask())
