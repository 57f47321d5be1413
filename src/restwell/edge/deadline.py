"""The time a request has until its answer begins."""

import asyncio
import time
from typing import Final

from restwell.edge.exchange import Exchange

TICK_SECONDS: Final = 0.1


class Deadlines:
    """Cancels the task of a request that takes longer than ``seconds``, give or take a tick, and marks it as expired.

    All requests have the same time, so they run out in the order they came in: one timer looks at the oldest of them, where a
    timer for each would cost every request some microseconds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Exchange, asyncio.Task[object]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, exchange: Exchange) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request runs in a task")
        self._running[exchange] = task
        if self._timer is None:
            self._timer = task.get_loop().call_later(TICK_SECONDS, self._tick)

    def stop(self, exchange: Exchange) -> None:
        self._running.pop(exchange, None)

    def _tick(self) -> None:
        latest = time.perf_counter() - self._seconds
        late = []
        for exchange, task in self._running.items():
            if exchange.started > latest:
                break
            late.append((exchange, task))
        for exchange, task in late:
            del self._running[exchange]
            exchange.expired = True
            task.cancel()
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick) if self._running else None
