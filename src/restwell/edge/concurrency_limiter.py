"""How much one process takes on at once: as much as it can answer soon, and no more. What is too much is refused at once.

What tells is how long work that is ready has to wait: for the event loop, and for a connection to the database. Not how long answers take,
for some take long by nature. While that wait is short the limit grows with what is asked for; when it grows long, the limit shrinks to a
part of what is under way.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database.facade import PoolStats
from restwell.edge.context import Scope
from restwell.errors import ServiceUnavailable

MIN_LIMIT: Final = 8
INITIAL_LIMIT: Final = 128
MAX_LIMIT: Final = 1_024
TICK_SECONDS: Final = 0.02
TICKS: Final = 5
"""So often the limit is judged anew, in ticks."""
LOOP_SECONDS: Final = 0.025
"""A turn of the loop that takes longer on average is too long: an answer needs about ten."""
POOL_SECONDS: Final = 0.1
QUEUE_SECONDS: Final = 0.05
"""How long a request waits for its turn before it is refused."""
_SHRINK: Final = 0.85
_GROW: Final = 1.05
_NEARLY: Final = 0.8
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})

Pools = Callable[[], Mapping[str, PoolStats]]


class Overloaded(ServiceUnavailable):
    code, message = "overloaded", "Too much is asked for at this moment. Nothing was done; try again shortly."


class ConcurrencyLimiter(Collector):
    """One process's limit. ``acquire`` and ``release`` stand around the work of a request; those for the paths ``always`` find room always."""

    def __init__(self, pools: Pools = dict, always: Collection[str] = ()) -> None:
        self._pools = pools
        self._always = frozenset(always)
        self.limit = float(INITIAL_LIMIT)
        self._running = 0
        self._most = 0
        self._waiting: dict[str, deque[tuple[float, asyncio.Future[bool]]]] = {"writes": deque(), "reads": deque()}
        self._refused: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._expected = 0.0
        self._late: list[float] = []
        self._waits = (0, 0.0)

    def acquire_nowait(self, path: str) -> bool:
        """Whether there is room at once; then ``release`` must follow."""
        if self._running >= self.limit and path not in self._always:
            return False
        self._take()
        return True

    async def acquire(self, scope: Scope) -> bool:
        """Wait a moment for room: writes of people who are signed in before all else. Raises Overloaded; else ``release`` must follow."""
        kind = _kind_of(scope)
        queue = self._waiting[kind]
        if len(queue) >= self.limit:
            self._refused[kind] += 1
            raise Overloaded
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        queue.append((time.monotonic() + QUEUE_SECONDS, turn))
        try:
            admitted = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.release()
            raise
        if not admitted:
            self._refused[kind] += 1
            raise Overloaded
        return True

    def release(self) -> None:
        self._running -= 1
        while self._running < self.limit and (turn := self._next()) is not None:
            self._take()
            turn.set_result(True)

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("restwell_requests_limit", "How many requests are taken on at once.", value=self.limit)
        yield GaugeMetricFamily("restwell_requests_running", "How many are.", value=self._running)
        refused = CounterMetricFamily("restwell_requests_shed", "Requests that were too much.", labels=["kind"])
        for kind in self._waiting:
            refused.add_metric([kind], self._refused[kind])
        yield refused

    def _take(self) -> None:
        self._running += 1
        self._most = max(self._most, self._running)
        if self._timer is None:
            self._schedule()

    def _next(self) -> asyncio.Future[bool] | None:
        for queue in self._waiting.values():
            while queue:
                turn = queue.popleft()[1]
                if not turn.done():
                    return turn
        return None

    def _schedule(self) -> None:
        self._expected = time.monotonic() + TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self._late.append(now - self._expected)
        for queue in self._waiting.values():
            while queue and (queue[0][0] < now or queue[0][1].done()):
                turn = queue.popleft()[1]
                if not turn.done():
                    turn.set_result(False)
        if len(self._late) >= TICKS:
            self._adjust()
        if self._running:
            self._schedule()
        else:
            self._timer = None
            self._late.clear()

    def _adjust(self) -> None:
        late = sum(self._late) / len(self._late)
        if late > LOOP_SECONDS or self._wait_for_pools() > POOL_SECONDS:
            self.limit = max(float(MIN_LIMIT), min(self.limit, self._most) * _SHRINK)
        elif self._most >= self.limit * _NEARLY:
            self.limit = min(float(MAX_LIMIT), max(self.limit * _GROW, self.limit + 1))
        self._most = self._running
        self._late.clear()

    def _wait_for_pools(self) -> float:
        """How long those have waited on average who had to, since the last time."""
        figures = self._pools().values()
        waits, seconds = sum(one.waits for one in figures), sum(one.wait_seconds for one in figures)
        more, longer = waits - self._waits[0], seconds - self._waits[1]
        self._waits = waits, seconds
        return longer / more if more > 0 else 0.0


def _kind_of(scope: Scope) -> str:
    is_write = scope["method"] not in _SAFE and any(name in _CREDENTIALS for name, _ in scope["headers"])
    return "writes" if is_write else "reads"
