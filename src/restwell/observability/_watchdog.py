"""Detects a blocked event loop, and logs the stack that blocks it.

The loop stores the time of each tick. A thread checks its age and captures the stack of the loop. On Linux the time in
which the thread was runnable and waited for a CPU is subtracted. A call that holds the GIL is counted without a stack.
"""

import asyncio
import itertools
import linecache
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Final

import structlog
from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import Histogram, define_counter, define_histogram

log = structlog.get_logger("restwell.watchdog")

LIMIT_SECONDS: Final = 0.05
TICK_SECONDS: Final = 0.03
RECHECK_SECONDS: Final = 0.005
CPU_WAIT_TICKS: Final = 20
"""The CPU wait time is read once in this number of ticks. The wait since then is not counted as a block."""
MAX_BLOCKS: Final = 20
MAX_STACK_BYTES: Final = 2_500
"""A longer stack is shortened from its outer end: MAX_BLOCKS of them fit into a section of the process report."""
REPORT: Final = "event_loop_blocks"
"""The section of the process report with the ``blocks``."""
_DEPTH: Final = 12
_LOOP_MODULES: Final = {"asyncio.base_events", "asyncio.events", "asyncio.runners", "uvloop", __name__}


DELAY: Final = define_histogram(
    "restwell_event_loop_delay_seconds",
    "How late the event loop ran a timer: the delay of everything that was ready to run.",
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
BLOCKS: Final = define_counter(
    "restwell_event_loop_blocks_total", "Times that the event loop was blocked for more than 50 ms."
)
BLOCKED_SECONDS: Final = define_counter(
    "restwell_event_loop_blocked_seconds_total", "Total time that the event loop was blocked for more than 50 ms."
)


class Block(Struct, frozen=True):
    """When a block ended and how long it was, and the innermost frames of the stack, if they were captured."""

    at: datetime
    seconds: float
    stack: str

    def __str__(self) -> str:
        where = f" in:\n{self.stack}" if self.stack else ""
        return f"the event loop was blocked for {self.seconds * 1e3:.0f} ms{where}"


class Watchdog(Collector):
    """Watches one event loop. ``blocks`` are the last blocks of more than LIMIT_SECONDS."""

    def __init__(self) -> None:
        self.blocks: deque[Block] = deque(maxlen=MAX_BLOCKS)
        self._count = 0
        self._seconds = 0.0
        self._delays = Histogram(DELAY.bounds)
        self._last_tick = 0.0
        self._cpu_start = 0.0
        self._ticks = 0
        self._cpu_wait = 0.0
        self._schedstat: int | None = None
        self._stack = ""
        self._timer: asyncio.TimerHandle | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        if self._thread is not None:
            return
        self._stop.clear()
        with suppress(OSError):
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._record_tick(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._timer is not None:
            self._check()  # what runs last may have blocked the loop
            self._timer.cancel()
            self._timer = None
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
        schedstat, self._schedstat = self._schedstat, None
        if schedstat is not None:
            os.close(schedstat)

    def collect(self) -> Iterator[Metric]:
        yield DELAY.histogram([([], self._delays)])
        yield BLOCKS.family(self._count)
        yield BLOCKED_SECONDS.family(self._seconds)

    def _tick(self) -> None:
        """Runs in the loop. A check that fails, because its log line cannot be written, is not the last."""
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        self._check()

    def _check(self) -> None:
        """Compare the time since the last tick with the interval."""
        now = time.monotonic()
        delay = now - self._last_tick - TICK_SECONDS
        self._delays.observe(max(0.0, delay))
        try:
            if delay > LIMIT_SECONDS:
                self._check_delay(delay)
        finally:
            self._record_tick(now)

    def _check_delay(self, delay: float) -> None:
        blocked = delay - (self._cpu_wait_seconds() - self._cpu_wait)
        cpu_seconds = time.thread_time() - self._cpu_start
        if blocked < LIMIT_SECONDS or (cpu_seconds < LIMIT_SECONDS and not self._stack):
            return
        self._ticks = 0
        block = Block(datetime.now(UTC), blocked, self._stack)
        self.blocks.append(block)
        self._count += 1
        self._seconds += blocked
        log.warning("event_loop_blocked", milliseconds=round(blocked * 1e3), stack=block.stack)

    def _cpu_wait_seconds(self) -> float:
        """How long the thread was runnable and waited for a CPU, in total; 0 if the system does not report it."""
        return int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9 if self._schedstat is not None else 0.0

    def _record_tick(self, now: float) -> None:
        self._stack = ""
        self._cpu_start = time.thread_time()
        self._ticks += 1
        if self._ticks % CPU_WAIT_TICKS == 1:  # the read costs as much as all the rest of a tick
            self._cpu_wait = self._cpu_wait_seconds()
        self._last_tick = now

    def _watch(self, loop_thread: int) -> None:
        while not self._stop.wait(TICK_SECONDS):
            last_tick = self._last_tick
            if not self._stack and time.monotonic() - last_tick > TICK_SECONDS + LIMIT_SECONDS:
                frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  # no public API
                if frame is None or _is_idle(frame):
                    continue
                try:
                    stack = _stack_of(frame)
                except AttributeError:  # Python 3.11 lost a frame of the thread, which runs meanwhile
                    continue
                finally:
                    del frame  # it references all local variables
                stack = stack.encode("utf-8", "replace")[-MAX_STACK_BYTES:].decode("utf-8", "ignore")
                # After a SIGCONT the loop ticks within this time.
                if not self._stop.wait(RECHECK_SECONDS) and self._last_tick == last_tick:
                    self._stack = stack


def _stack_of(frame: FrameType) -> str:
    inner = traceback.StackSummary.extract(itertools.islice(traceback.walk_stack(frame), _DEPTH))
    linecache.clearcache()  # the sources of all these modules, which take more than a megabyte
    return "".join(traceback.format_list(inner[::-1]))


def _is_idle(frame: FrameType) -> bool:
    """Whether the loop is waiting for events: uvloop below ``run``, asyncio in its selector."""
    if frame.f_globals.get("__name__") == "selectors" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__") in _LOOP_MODULES
