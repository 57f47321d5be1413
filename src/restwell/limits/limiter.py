"""Counting requests: what each is told, and what becomes of those that are too many."""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.errors import AppError
from restwell.limits.rate import Allowance, Rate


class RateLimited(AppError):
    code, status = "rate_limited", 429
    message = "Too many requests for now. Wait for as many seconds as Retry-After says; RateLimit tells what is left."

    def __init__(self, message: str | None = None, *, seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(seconds)})


class LimitStore(Protocol):
    """Who knows what each client has spent. ``is_local`` while it should count with other machines, and cannot."""

    is_local: bool

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def take_now(self, rate: Rate, who: str) -> Allowance | None:
        """Count a request of ``who``; None where ``take`` must be asked."""

    async def take(self, rate: Rate, who: str) -> Allowance: ...


class RateLimiter(Collector):
    """The default rates, times ``scale``, and its metrics."""

    def __init__(self, store: LimitStore, *, scale: float, reads: tuple[int, int], writes: tuple[int, int]) -> None:
        self._store = store
        self._scale = scale
        self._refused: Counter[str] = Counter()
        self.reads = Rate("reads", *reads)
        self.writes = Rate("writes", *writes)
        self.start, self.close = store.start, store.close

    def scaled(self, rate: Rate) -> Rate:
        return rate.scaled(self._scale)

    def count_now(self, rate: Rate, who: str) -> Allowance | None:
        """Count a request of ``who``, and say what it is told; None where ``count`` must be awaited for that."""
        allowance = self._store.take_now(rate, who)
        if allowance is not None and not allowance.admitted:
            self._refused[rate.name] += 1
        return allowance

    async def count(self, rate: Rate, who: str) -> Allowance:
        """What ``count_now`` could not."""
        allowance = await self._store.take(rate, who)
        if not allowance.admitted:
            self._refused[rate.name] += 1
        return allowance

    def collect(self) -> Iterator[Metric]:
        refused = CounterMetricFamily("restwell_rate_limited", "Requests that were too many, by rate.", labels=["rate"])
        for name, count in list(self._refused.items()):
            refused.add_metric([name], count)
        yield refused
        text = "Processes that limit to the part of their machine, because Redis is away."
        yield GaugeMetricFamily("restwell_rate_limits_local", text, value=float(self._store.is_local))
