"""Who gives up while waiting for the writer of SQLite has given up, at whatever moment."""

import asyncio

import pytest

from restwell.database.sqlite import _within


async def test_a_cancellation_is_never_swallowed_by_a_wait_that_succeeds_at_the_same_moment() -> None:
    """Breaks with ``asyncio.wait_for`` before Python 3.12: a worker that was told to stop then tended the table for ever."""
    for turns in range(5):
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def wait(turn: asyncio.Future[int] = turn) -> int:
            return await turn

        waiting = asyncio.create_task(_within(1_000, wait()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        turn.set_result(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            assert await waiting == 1
