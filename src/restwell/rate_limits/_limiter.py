"""The rate limiter: counts requests against a store, with the default rates and the metrics."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.errors import AppError
from restwell.observability._metric_families import define_counter, define_gauge
from restwell.rate_limits._rate import Rate, RateLimitResult

LIMITED: Final = define_counter("restwell_rate_limited_total", "Requests rejected by a rate limit.", "rate")
DEGRADED: Final = define_gauge(
    "restwell_rate_limits_degraded",
    "Processes that enforce only their machine's share of the rates, because Redis is unavailable.",
)


class RateLimited(AppError):
    """The client has used its quota: 429, with Retry-After in seconds."""

    code, status = "rate_limited", 429
    message = (
        "Too many requests. Retry after the number of seconds in Retry-After. RateLimit shows the remaining quota."
    )

    def __init__(self, message: str | None = None, *, seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(seconds)})


class RateLimitStore(Protocol):
    """Counts requests per client."""

    @property
    def degraded(self) -> bool:
        """Whether it should count together with other machines, and cannot."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request without I/O; None if ``take`` must be awaited instead."""

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult: ...


class RateLimiter(Collector):
    """``reads`` and ``writes`` are the default rates, as (count, seconds). ``scale`` multiplies every rate."""

    def __init__(self, store: RateLimitStore, *, scale: float, reads: tuple[int, int], writes: tuple[int, int]) -> None:
        self._store = store
        self._scale = scale
        self._limited: Counter[str] = Counter()
        self.reads = Rate("reads", *reads)
        self.writes = Rate("writes", *writes)
        self.start, self.close = store.start, store.close

    def scaled(self, rate: Rate) -> Rate:
        return rate.scaled(self._scale)

    def count_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request without I/O; None if ``count`` must be awaited instead."""
        result = self._store.take_nowait(rate, client_key)
        if result is not None and not result.allowed:
            self._limited[rate.name] += 1
        return result

    async def count(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request that ``count_nowait`` could not count."""
        result = await self._store.take(rate, client_key)
        if not result.allowed:
            self._limited[rate.name] += 1
        return result

    def collect(self) -> Iterator[Metric]:
        yield LIMITED.family(self._limited)
        yield DEGRADED.family(float(self._store.degraded))
