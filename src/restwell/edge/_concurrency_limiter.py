"""An adaptive limit on the concurrent requests of one process. Requests above the limit wait briefly, then are
rejected.

The signal is the queueing delay of runnable work: of the event loop, and of the connection pools. Latency is not used,
because some routes are slow by design. While the delay is short, the limit grows with demand. When it is long, the
limit shrinks to a fraction of the requests in progress.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.edge._context import Headers, Hook, RequestContext, Scope
from restwell.errors import ServiceUnavailable
from restwell.observability._metric_families import define_counter, define_gauge

MIN_LIMIT: Final = 8
INITIAL_LIMIT: Final = 128
MAX_LIMIT: Final = 1_024
TICK_SECONDS: Final = 0.02
ADJUST_TICKS: Final = 5
"""The limit is adjusted every this many ticks."""
MAX_LOOP_DELAY_SECONDS: Final = 0.025
"""An average delay of the event loop above this is too long: a request needs about ten iterations."""
MAX_POOL_WAIT_SECONDS: Final = 0.1
QUEUE_SECONDS: Final = 0.05
"""How long a request waits for a slot before it is rejected."""
_SHRINK: Final = 0.85
_GROW: Final = 1.05
_DEMAND: Final = 0.8
"""The limit grows only if this fraction of it was used."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})


LIMIT: Final = define_gauge("restwell_requests_limit", "The limit on concurrent requests.")
RUNNING: Final = define_gauge("restwell_requests_running", "Requests that hold a slot of the limit.")
QUEUED: Final = define_gauge("restwell_requests_queued", "Requests that wait for a slot of the limit.", "kind")
SHED: Final = define_counter("restwell_requests_shed_total", "Requests rejected under overload.", "kind")


class PoolWaits(Protocol):
    """What a connection pool has counted: the acquisitions that waited, and their total wait."""

    @property
    def waits(self) -> int: ...
    @property
    def wait_seconds(self) -> float: ...


Pools = Callable[[], Mapping[str, PoolWaits]]


class Overloaded(ServiceUnavailable):
    code, message = "overloaded", "The server is overloaded. The request was not processed; try again shortly."


class ConcurrencyLimiter(Hook, Collector):
    """A request holds a slot until its response starts: the client may read slowly.

    Each slot is enclosed in ``acquire`` and ``release``. Requests for ``exempt_paths`` never wait.
    """

    def __init__(self, pools: Pools = dict, exempt_paths: Collection[str] = ()) -> None:
        self._pools = pools
        self._exempt_paths = frozenset(exempt_paths)
        self.limit = float(INITIAL_LIMIT)
        self._running = 0
        self._peak = 0
        self._waiting: dict[str, deque[tuple[float, asyncio.Future[bool]]]] = {"writes": deque(), "reads": deque()}
        self._shed: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._expected_at = 0.0
        self._delays: list[float] = []
        self._pool_waits = (0, 0.0)

    def admit(self, context: RequestContext) -> Awaitable[None] | None:
        """Raises Overloaded."""
        if self.acquire_nowait(context.scope["path"]):
            context.holds_slot = True
            return None
        return self._wait(context)

    def on_response(self, context: RequestContext, headers: Headers) -> None:  # noqa: ARG002  # the signature of Hook
        self.after(context)

    def after(self, context: RequestContext) -> None:
        if context.holds_slot:
            context.holds_slot = False
            self.release()

    def acquire_nowait(self, path: str) -> bool:
        """Acquire a slot if one is free. If True, ``release`` must be called."""
        if self._running >= self.limit and path not in self._exempt_paths:
            return False
        self._take()
        return True

    async def acquire(self, scope: Scope) -> None:
        """Wait up to QUEUE_SECONDS for a slot; authenticated writes go first.

        Raises Overloaded; else ``release`` must be called.
        """
        kind = _kind_of(scope)
        queue = self._waiting[kind]
        if len(queue) >= self.limit:
            self._shed[kind] += 1
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
            self._shed[kind] += 1
            raise Overloaded

    def release(self) -> None:
        self._running -= 1
        while self._running < self.limit and (turn := self._next()) is not None:
            self._take()
            turn.set_result(True)

    def collect(self) -> Iterator[Metric]:
        yield LIMIT.family(self.limit)
        yield RUNNING.family(self._running)
        yield QUEUED.family({kind: len(queue) for kind, queue in self._waiting.items()})
        yield SHED.family({kind: self._shed[kind] for kind in self._waiting})

    async def _wait(self, context: RequestContext) -> None:
        await self.acquire(context.scope)
        context.holds_slot = True

    def _take(self) -> None:
        self._running += 1
        self._peak = max(self._peak, self._running)
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
        self._expected_at = time.monotonic() + TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self._delays.append(now - self._expected_at)
        for queue in self._waiting.values():
            while queue and (queue[0][0] < now or queue[0][1].done()):
                turn = queue.popleft()[1]
                if not turn.done():
                    turn.set_result(False)
        if len(self._delays) >= ADJUST_TICKS:
            self._adjust()
        if self._running:
            self._schedule()
        else:
            self._timer = None
            self._delays.clear()

    def _adjust(self) -> None:
        loop_delay = sum(self._delays) / len(self._delays)
        if loop_delay > MAX_LOOP_DELAY_SECONDS or self._average_pool_wait() > MAX_POOL_WAIT_SECONDS:
            self.limit = max(float(MIN_LIMIT), min(self.limit, self._peak) * _SHRINK)
        elif self._peak >= self.limit * _DEMAND:
            self.limit = min(float(MAX_LIMIT), max(self.limit * _GROW, self.limit + 1))
        self._peak = self._running
        self._delays.clear()

    def _average_pool_wait(self) -> float:
        """The average wait for a connection since the last call, in seconds, of the acquisitions that waited."""
        pools = self._pools().values()
        waits, seconds = sum(pool.waits for pool in pools), sum(pool.wait_seconds for pool in pools)
        new_waits, new_seconds = waits - self._pool_waits[0], seconds - self._pool_waits[1]
        self._pool_waits = waits, seconds
        return new_seconds / new_waits if new_waits > 0 else 0.0


def _kind_of(scope: Scope) -> str:
    is_write = scope["method"] not in _SAFE and any(name in _CREDENTIALS for name, _ in scope["headers"])
    return "writes" if is_write else "reads"
