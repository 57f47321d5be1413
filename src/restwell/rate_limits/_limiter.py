"""The rate limiter: counts requests against a store, with the default rates and the metrics."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol

from msgspec import Struct
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
CLIENTS: Final = "limited"
"""The section of the process report with the limited clients."""
MAX_CLIENTS: Final = 100


class RateLimited(AppError):
    """The client has used its quota: 429, with Retry-After in seconds."""

    code, status = "rate_limited", 429
    message = (
        "Too many requests. Retry after the number of seconds in Retry-After. RateLimit shows the remaining quota."
    )

    def __init__(self, message: str | None = None, *, seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(seconds)})


class LimitedClient(Struct):
    """How often a rate has rejected a client, and when it did last, as a Unix timestamp.

    ``client``: the id of a user or machine client, or a network.
    """

    rate: str
    client: str
    rejected: int = 0
    last_at: float = 0.0


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
        self._clients: dict[tuple[str, str], LimitedClient] = {}
        self.reads = Rate("reads", *reads)
        self.writes = Rate("writes", *writes)
        self.start, self.close = store.start, store.close

    def scaled(self, rate: Rate) -> Rate:
        return rate.scaled(self._scale)

    def count_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request without I/O; None if ``count`` must be awaited instead."""
        result = self._store.take_nowait(rate, client_key)
        if result is not None and not result.allowed:
            self._note_rejected(rate, client_key)
        return result

    async def count(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request that ``count_nowait`` could not count."""
        result = await self._store.take(rate, client_key)
        if not result.allowed:
            self._note_rejected(rate, client_key)
        return result

    def _note_rejected(self, rate: Rate, client_key: str) -> None:
        self._limited[rate.name] += 1
        key = rate.name, client_key
        known = self._clients.pop(key, None)
        if known is None:
            known = LimitedClient(rate.name, client_key)
            if len(self._clients) >= MAX_CLIENTS:
                del self._clients[next(iter(self._clients))]
        known.rejected += 1
        known.last_at = time.time()
        self._clients[key] = known  # last, so that the first one is the one to forget

    def limited_clients(self) -> list[LimitedClient]:
        """The last MAX_CLIENTS clients of this process that were rejected, the newest first."""
        return [*reversed(self._clients.values())]

    def collect(self) -> Iterator[Metric]:
        yield LIMITED.family(self._limited)
        yield DEGRADED.family(float(self._store.degraded))
