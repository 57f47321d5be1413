"""Whether something keeps the event loop from going round: a loop that stands still serves nobody.

The loop leaves the time of each turn; a thread looks whether that grows old, and takes down what the loop is doing just then. The time in
which it was ready and only had to wait for a processor, on a busy machine, is not counted (Linux tells how long that was). What holds the
interpreter's lock all the while is counted without a stack.
"""

import asyncio
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Final

import structlog
from msgspec import Struct
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

log = structlog.get_logger("restwell.watchdog")

LIMIT_SECONDS: Final = 0.05
BEAT_SECONDS: Final = 0.03
AGAIN_SECONDS: Final = 0.005
READ_TURNS: Final = 20
"""So often the time in line for a processor is read; what has come together since then is never blamed on a block."""
KEPT: Final = 20
_DEPTH: Final = 12
_OF_LOOP: Final = {"asyncio.base_events", "asyncio.events", "asyncio.runners", "uvloop", __name__}


class Block(Struct, frozen=True):
    """For how long the loop stood still, and the innermost calls it was in, if they could be seen."""

    seconds: float
    stack: str

    def __str__(self) -> str:
        return f"the event loop stood still for {self.seconds * 1e3:.0f} ms{f' in:{chr(10)}{self.stack}' if self.stack else ''}"


class Watchdog(Collector):
    """``blocks`` are the last ones of more than LIMIT_SECONDS."""

    def __init__(self) -> None:
        self.blocks: deque[Block] = deque(maxlen=KEPT)
        self._count = 0
        self._seconds = 0.0
        self._beat = 0.0
        self._cpu = 0.0
        self._turns = 0
        self._ready = 0.0
        self._schedule: int | None = None
        self._seen = ""
        self._timer: asyncio.TimerHandle | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        if self._thread is not None:
            return
        self._stop.clear()
        with suppress(OSError):
            self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._note(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._turn)
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
        if self._timer is not None:
            self._timer.cancel()
        schedule, self._schedule = self._schedule, None
        if schedule is not None:
            os.close(schedule)

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "restwell_event_loop_blocks",
            "Times that the event loop stood still for more than 50 ms.",
            value=self._count,
        )
        yield CounterMetricFamily(
            "restwell_event_loop_blocked_seconds", "For how long it stood still, in all.", value=self._seconds
        )

    def _turn(self) -> None:
        """In the loop: the time since the last turn is what it was asked for, or something stood in the way."""
        now = time.monotonic()
        late = now - self._beat - BEAT_SECONDS
        if late > LIMIT_SECONDS:
            self._judge(late)
        self._note(now)
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._turn)

    def _judge(self, late: float) -> None:
        stood_still = late - (self._ready_seconds() - self._ready)
        computed = time.thread_time() - self._cpu
        if stood_still < LIMIT_SECONDS or (computed < LIMIT_SECONDS and not self._seen):
            return
        self._turns = 0
        block = Block(stood_still, self._seen)
        self.blocks.append(block)
        self._count += 1
        self._seconds += stood_still
        log.warning("event_loop_blocked", milliseconds=round(stood_still * 1e3), stack=block.stack)

    def _ready_seconds(self) -> float:
        """For how long the thread has been ready and waited for a processor; 0 where nobody tells."""
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9 if self._schedule is not None else 0.0

    def _note(self, now: float) -> None:
        self._seen = ""
        self._cpu = time.thread_time()
        self._turns += 1
        if self._turns % READ_TURNS == 1:  # reading it costs as much as all the rest
            self._ready = self._ready_seconds()
        self._beat = now

    def _watch(self, loop_thread: int) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            beat = self._beat
            if not self._seen and time.monotonic() - beat > BEAT_SECONDS + LIMIT_SECONDS:
                frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  # there is no other way to another thread's stack
                if frame is None or _is_idle(frame):
                    continue
                seen = "".join(traceback.format_list(traceback.extract_stack(frame)[-_DEPTH:]))
                del frame  # it holds all that its function does
                # A process that was stopped is about to turn.
                if not self._stop.wait(AGAIN_SECONDS) and self._beat == beat:
                    self._seen = seen


def _is_idle(frame: FrameType) -> bool:
    """Whether the loop waits for something to do, or is about to: uvloop does so below ``run``, asyncio in its selector."""
    if frame.f_globals.get("__name__") == "selectors" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__") in _OF_LOOP
