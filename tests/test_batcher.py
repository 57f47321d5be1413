"""Concurrent calls share a batch, and one of them never affects the others."""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar

from restwell._batcher import Batcher

_caller: ContextVar[str] = ContextVar("caller", default="none")


async def _outcomes(*calls: Awaitable[int]) -> list[int | BaseException]:
    async with asyncio.timeout(5):
        return await asyncio.gather(*calls, return_exceptions=True)


class Squares:
    """Records the batches. Each takes until ``finish`` is set."""

    def __init__(self, max_items: int = 100) -> None:
        self.batches: list[list[int]] = []
        self.callers: list[str] = []
        self.finish = asyncio.Event()
        self.finish.set()
        self.failure: Exception | None = None
        self.batcher: Batcher[int, int] = Batcher(self._run, max_items=max_items)

    async def _run(self, items: list[int]) -> list[int | Exception]:
        self.batches.append(items)
        self.callers.append(_caller.get())
        await asyncio.sleep(0.001)
        await self.finish.wait()
        if self.failure is not None:
            raise self.failure
        return [ValueError(item) if item < 0 else item**2 for item in items]


async def test_items_that_arrive_while_a_batch_runs_share_the_next_one() -> None:
    """Breaks when a second batch starts before the first has ended, and when a caller gets the result of another."""
    squares = Squares()
    squares.finish.clear()
    first = [squares.batcher.add(item) for item in (1, 2)]
    await asyncio.sleep(0)
    second = [squares.batcher.add(item) for item in (3, 4)]
    await asyncio.sleep(0)
    assert squares.batches == [[1, 2]]
    squares.finish.set()
    assert await _outcomes(*first, *second) == [1, 4, 9, 16]
    assert squares.batches == [[1, 2], [3, 4]]
    assert await _outcomes(squares.batcher.add(5)) == [25]


async def test_a_batch_is_limited_and_keeps_the_order() -> None:
    squares = Squares(max_items=2)
    assert await _outcomes(*map(squares.batcher.add, range(5))) == [0, 1, 4, 9, 16]
    assert squares.batches == [[0, 1], [2, 3], [4]]


async def test_an_error_of_an_item_is_raised_to_its_caller_only() -> None:
    squares = Squares()
    one, bad, two = await _outcomes(*map(squares.batcher.add, (1, -1, 2)))
    assert (one, two) == (1, 4)
    assert isinstance(bad, ValueError)


async def test_an_error_of_the_batch_is_raised_to_all_its_callers_and_the_next_batch_runs() -> None:
    """Breaks when the error ends the background task: later callers then wait forever."""
    squares = Squares()
    squares.failure = OSError("gone")
    outcomes = await _outcomes(*map(squares.batcher.add, (1, 2)))
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    squares.failure = None
    assert await _outcomes(squares.batcher.add(3)) == [9]


async def test_a_cancelled_caller_affects_no_other() -> None:
    """Breaks when the result of a cancelled caller is set: InvalidStateError ends the batch."""
    squares = Squares()
    squares.finish.clear()
    cancelled, waiting = squares.batcher.add(1), squares.batcher.add(2)
    await asyncio.sleep(0)
    cancelled.cancel()
    squares.finish.set()
    assert await _outcomes(waiting) == [4]
    assert squares.batches == [[1, 2]]


async def test_a_batch_runs_in_the_context_of_the_caller_that_opened_it() -> None:
    """Seen to fail: under load, every query of every batch counted for the request that had started the first."""
    squares = Squares()
    squares.finish.clear()

    async def call(name: str, item: int) -> int:
        _caller.set(name)
        return await squares.batcher.add(item)

    calls = [asyncio.create_task(call("a", 1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls += [asyncio.create_task(call("b", 2)), asyncio.create_task(call("c", 3))]
    await asyncio.sleep(0)
    squares.finish.set()
    assert await _outcomes(*calls) == [1, 4, 9]
    assert squares.callers == ["a", "b"]


async def test_closing_waits_for_all_items_and_then_cancels_their_callers() -> None:
    """Breaks when only the running batch is awaited, and when a caller is left waiting forever."""
    squares = Squares(max_items=1)
    done = [squares.batcher.add(item) for item in (1, 2, 3)]
    await squares.batcher.close(5)
    assert [one.result() for one in done] == [1, 4, 9]
    squares.finish.clear()
    running, waiting = squares.batcher.add(4), squares.batcher.add(5)
    await asyncio.sleep(0)
    await squares.batcher.close()
    assert [type(outcome) for outcome in await _outcomes(running, waiting)] == [asyncio.CancelledError] * 2
    assert squares.batches[-1] == [4]
    await squares.batcher.close()
