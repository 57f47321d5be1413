"""Functions in processes of their own, which can be killed and may die without harm to others."""

import asyncio
import operator
import os
import time
from collections.abc import AsyncIterator

import pytest

from restwell.jobs._processes import ProcessDied, Processes

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def processes() -> AsyncIterator[Processes]:
    """Shared, because a process takes most of a second to start."""
    opened = Processes(1)
    yield opened
    await asyncio.to_thread(opened.close)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_ended(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def test_a_process_is_reused_and_returns_what_the_function_returns_or_raises(processes: Processes) -> None:
    """Breaks when each call starts a process: that takes most of a second."""
    pid = await processes.run(os.getpid)
    assert pid != os.getpid()
    assert await processes.run(operator.add, 2, 3) == 5
    with pytest.raises(ZeroDivisionError):
        await processes.run(operator.truediv, 1, 0)
    with pytest.raises(TimeoutError, match="its own"):
        await processes.run_within(30, raise_timeout)
    assert await processes.run(os.getpid) == pid


async def test_a_process_is_killed_when_its_caller_is_cancelled_or_its_time_is_over(processes: Processes) -> None:
    """Breaks when only the call is cancelled: the process would run on, and the next call would wait for it."""
    for limit in (None, 0.2):
        pid = await processes.run(os.getpid)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2 if limit is None else 30):
                await processes.run_within(limit, time.sleep, 60)
        await until_ended(pid)
    assert await processes.run(operator.add, 2, 3) == 5


def raise_timeout() -> None:
    raise TimeoutError("its own")


def exit_with(status: int) -> None:
    """Not os._exit itself: coverage replaces it with a function that cannot be sent to a process."""
    os._exit(status)


async def test_the_wait_for_a_free_process_does_not_count(processes: Processes) -> None:
    """Breaks when the time begins before a process is free."""
    await processes.run(os.getpid)
    slow = asyncio.create_task(processes.run(time.sleep, 1.5))
    await asyncio.sleep(0)
    assert await processes.run_within(1.0, operator.add, 2, 3) == 5
    assert slow.done()


async def test_a_process_that_dies_fails_its_own_call_only() -> None:
    """Breaks with one pool for all: the exit of one process breaks the pool."""
    processes = Processes(2)
    try:
        other = asyncio.create_task(processes.run(time.sleep, 1))
        with pytest.raises(ProcessDied, match="the process exited with 7"):
            await processes.run(exit_with, 7)
        await other
        assert await processes.run(operator.add, 2, 3) == 5
    finally:
        await asyncio.to_thread(processes.close)


async def test_a_process_that_died_while_idle_is_replaced(processes: Processes) -> None:
    """Seen to fail without the second try: the next job would fail for nothing."""
    pid = await processes.run(os.getpid)
    os.kill(pid, 9)
    await until_ended(pid)
    await asyncio.sleep(0.1)  # until the pool has noticed
    assert await processes.run(operator.add, 2, 3) == 5


async def test_close_kills_idle_and_busy_processes() -> None:
    processes = Processes(2)
    busy = asyncio.create_task(processes.run(time.sleep, 60))
    pid = await processes.run(os.getpid)
    await asyncio.to_thread(processes.close)
    with pytest.raises((ProcessDied, asyncio.CancelledError)):
        await busy
    await until_ended(pid)
