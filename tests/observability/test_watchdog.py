"""The watchdog reports blocks of the event loop, and no other delays."""

import asyncio
import linecache
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx
import pytest
from structlog.testing import capture_logs

from restwell.observability._watchdog import Watchdog
from restwell.settings import Settings
from restwell.testing import _running, running
from restwell.web import Controller, get
from tiny.app import app_of


@pytest.fixture
async def watchdog() -> AsyncIterator[Watchdog]:
    watching = Watchdog()
    watching.start()
    await asyncio.sleep(0.05)
    yield watching
    watching.close()


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def wait(seconds: float) -> None:
    time.sleep(seconds)


def run(seconds: float) -> None:
    """A blocking function with the name of the loop's own ``run``."""
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "5"], capture_output=True, check=False, timeout=seconds)


def hold_the_gil(_: float) -> None:
    """A call into C that holds the GIL."""
    assert not re.match(r"(a|a)*b", "a" * 24)


@pytest.mark.slow
async def test_a_stack_that_cannot_be_read_does_not_end_the_watchdog(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail with Python 3.11 in development mode: `'Runner' object has no attribute 'f_lineno'`."""
    read = threading.Event()

    def walk_stack(_: object) -> None:
        read.set()
        raise AttributeError("f_lineno")

    monkeypatch.setattr("traceback.walk_stack", walk_stack)
    for _ in range(50):
        time.sleep(0.3)  # noqa: ASYNC251  # blocks the event loop
        await asyncio.sleep(0.1)
        if read.is_set():
            break
    assert read.is_set()
    assert watchdog._thread is not None
    assert watchdog._thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("block", [compute, wait, run])
async def test_a_block_of_the_event_loop_is_reported_with_its_stack(
    watchdog: Watchdog, block: Callable[[float], None]
) -> None:
    """Breaks when only CPU time counts, since a blocking call may sleep; without the thread that captures the stack;
    and if the sources of the modules in the stack stay in memory.
    """
    linecache.clearcache()
    with capture_logs() as logged:
        for _ in range(50):  # a stalled machine stalls the watchdog thread too
            block(0.3)
            await asyncio.sleep(0.1)
            if watchdog.blocks and watchdog.blocks[-1].stack:
                break
    block_report = watchdog.blocks[-1]
    assert 0.1 <= block_report.seconds < 2
    assert f"in {block.__name__}\n    " in block_report.stack
    assert __file__ not in linecache.cache
    metrics = {sample.name: sample.value for metric in watchdog.collect() for sample in metric.samples}
    assert logged[-1] == {
        "event": "event_loop_blocked",
        "log_level": "warning",
        "milliseconds": round(block_report.seconds * 1e3),
        "stack": block_report.stack,
    }
    assert metrics["restwell_event_loop_blocks_total"] == len(watchdog.blocks)
    assert metrics["restwell_event_loop_blocked_seconds_total"] == sum(block.seconds for block in watchdog.blocks)


@pytest.mark.slow
async def test_the_delay_of_the_event_loop_is_measured_at_each_tick(watchdog: Watchdog) -> None:
    """Breaks when only blocks of more than 50 ms are observed: a slowly rising delay would be invisible."""
    for _ in range(10):
        await asyncio.sleep(0.03)
        compute(0.02)
    (delays,) = [metric for metric in watchdog.collect() if metric.name == "restwell_event_loop_delay_seconds"]
    values = {sample.name.rpartition("_")[2]: sample.value for sample in delays.samples}
    assert values["count"] >= 5
    assert values["sum"] > 0.01


@pytest.mark.slow
async def test_a_closed_watchdog_reports_nothing(watchdog: Watchdog) -> None:
    """Breaks when the timer of the loop is not cancelled: each start of an application would add one."""
    watchdog.close()
    compute(0.2)
    await asyncio.sleep(0.1)
    assert not watchdog.blocks


@pytest.mark.slow
async def test_a_block_that_holds_the_gil_is_reported(watchdog: Watchdog) -> None:
    hold_the_gil(0)
    await asyncio.sleep(0.05)
    assert len(watchdog.blocks) >= 1


@pytest.mark.slow
async def test_a_responsive_event_loop_is_not_reported(watchdog: Watchdog) -> None:
    """The loop runs short tasks, sleeps, and awaits a thread."""

    async def work() -> None:
        for _ in range(20):
            compute(0.004)
            await asyncio.sleep(0)

    await asyncio.gather(work(), asyncio.sleep(0.3), asyncio.to_thread(wait, 0.3))
    assert not [block for block in watchdog.blocks if block.seconds > 0.15]


STOPPED = """
import asyncio
from restwell.observability._watchdog import Watchdog

async def main():
    watching = Watchdog()
    watching.start()
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.sleep(0.8)
    watching.close()
    print(len(watching.blocks))

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_suspended_process_is_not_reported_as_blocked() -> None:
    """Breaks when every late tick counts: the whole process is suspended here."""
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "0\n"


CONTENDED = """
import asyncio, os, time
from restwell.observability._watchdog import Watchdog

os.sched_setaffinity(0, {0})

async def main():
    watching = Watchdog()
    watching.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        await asyncio.sleep(0.001)
    watching.close()
    print([str(block) for block in watching.blocks])

asyncio.run(main())
"""
BUSY = "import os, time; os.sched_setaffinity(0, {0}); end = time.monotonic() + 6\nwhile time.monotonic() < end: pass"


@pytest.mark.integration
def test_a_wait_for_the_cpu_is_not_reported_as_a_block() -> None:
    """Breaks when the wait for a CPU counts: with seven other processes, an iteration of 20 ms takes 160 ms."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(7)]
    try:
        block_report = subprocess.run(
            [sys.executable, "-c", CONTENDED], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert block_report.stdout == "[]\n", block_report.stdout


@pytest.mark.slow
async def test_the_watchdog_uses_little_cpu_time() -> None:
    """Breaks when the thread wakes up a thousand times a second.

    Most of the cost is the wake-up; bench/edge.py measures it.
    """
    watching = Watchdog()
    began, cpu = time.monotonic(), time.process_time()
    watching.start()
    await asyncio.sleep(2)
    watching.close()
    assert time.process_time() - cpu < 0.04 * (time.monotonic() - began)


@pytest.mark.slow
async def test_a_log_line_that_cannot_be_written_does_not_end_the_watchdog(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the next tick is set after the check: the loop then counts as blocked for ever."""

    class Closed:
        def warning(self, *_: object, **__: object) -> None:
            raise ValueError("I/O operation on closed file")

    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
    with monkeypatch.context() as patched:
        patched.setattr("restwell.observability._watchdog.log", Closed())
        compute(0.3)
        await asyncio.sleep(0.3)
    assert isinstance(failed[0], ValueError)
    compute(0.3)
    await asyncio.sleep(0.3)
    assert len(watchdog.blocks) > 1


async def test_the_watchdog_ends_its_thread_when_closed() -> None:
    others = set(threading.enumerate())
    for _ in range(3):
        watching = Watchdog()
        watching.start()
        watching.close()
    assert [thread.name for thread in set(threading.enumerate()) - others if thread.name == "watchdog"] == []


class Blocking(Controller):
    path = "/blocking"

    @get()
    async def block(self) -> str:
        """Block."""
        wait(1.5)
        return "done"


@pytest.mark.slow
async def test_a_route_that_blocks_fails_its_test(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the watchdog closes without a last check: the shutdown follows the request at once."""
    monkeypatch.setattr(_running, "BLOCKED_SECONDS", 1.0)
    with pytest.raises(AssertionError, match=r"was blocked for \d+ ms in:(.|\n)*wait\(1\.5\)"):
        async with running(app_of(tiny_settings, Blocking)) as client:
            answer: httpx.Response = await client.get("/v1/blocking")
            assert answer.status_code == 200
