"""Counting requests: what each is told, and what becomes of those that are too many."""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.errors import AppError
from restwell.rate_limits.rate import Rate, RateLimitResult


class RateLimited(AppError):
    code, status = "rate_limited", 429
    message = "Too many requests for now. Wait for as many seconds as Retry-After says; RateLimit tells what is left."

    def __init__(self, message: str | None = None, *, seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(seconds)})


class RateLimitStore(Protocol):
    """Who knows what each client has spent. ``degraded`` while it should count with other machines, and cannot."""

    degraded: bool

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request of ``client_key``; None where ``take`` must be asked."""

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult: ...


class RateLimiter(Collector):
    """The default rates, times ``scale``, and its metrics."""

    def __init__(self, store: RateLimitStore, *, scale: float, reads: tuple[int, int], writes: tuple[int, int]) -> None:
        self._store = store
        self._scale = scale
        self._refused: Counter[str] = Counter()
        self.reads = Rate("reads", *reads)
        self.writes = Rate("writes", *writes)
        self.start, self.close = store.start, store.close

    def scaled(self, rate: Rate) -> Rate:
        return rate.scaled(self._scale)

    def count_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request of ``client_key``, and say what it is told; None where ``count`` must be awaited for that."""
        result = self._store.take_nowait(rate, client_key)
        if result is not None and not result.allowed:
            self._refused[rate.name] += 1
        return result

    async def count(self, rate: Rate, client_key: str) -> RateLimitResult:
        """What ``count_nowait`` could not."""
        result = await self._store.take(rate, client_key)
        if not result.allowed:
            self._refused[rate.name] += 1
        return result

    def collect(self) -> Iterator[Metric]:
        refused = CounterMetricFamily("restwell_rate_limited", "Requests that were too many, by rate.", labels=["rate"])
        for name, count in list(self._refused.items()):
            refused.add_metric([name], count)
        yield refused
        text = "Processes that limit to the part of their machine, because Redis is away."
        yield GaugeMetricFamily("restwell_rate_limits_degraded", text, value=float(self._store.degraded))
