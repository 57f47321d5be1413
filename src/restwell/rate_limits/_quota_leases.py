"""Quota leases: a process takes a part of a client's remaining quota from the store in advance and spends it locally.

The total never exceeds the rate. Leases shrink with the remaining quota, down to one request. The unspent part of a
lease is lost when the quota that it was taken from would have been refilled.
"""

import time
from typing import Final

from restwell.rate_limits._rate import Rate, RateLimitResult, ceil_seconds

MAX_LEASES: Final = 20_000


class QuotaLease:
    """``count`` requests until ``expires_at``. ``exhausted``: no request is allowed before ``expires_at``."""

    __slots__ = ("count", "exhausted", "expires_at", "full_at", "remaining")

    def __init__(self, count: int, remaining: int, full_at: int, expires_at: int, *, exhausted: bool = False) -> None:
        self.exhausted = exhausted
        self.count = count
        self.remaining = remaining
        self.full_at = full_at
        self.expires_at = expires_at


class QuotaLeases:
    """The leases of this process, by rate and client. Times are on the monotonic clock, in nanoseconds."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, str], QuotaLease] = {}

    def spend(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Take one request from the lease of the client; None if the store must be asked for another lease."""
        lease = self._leases.get((rate.name, client_key))
        if lease is None:
            return None
        now = time.monotonic_ns()
        if now >= lease.expires_at:
            return None
        if lease.count > 0:
            lease.count -= 1
            return RateLimitResult(rate, lease.remaining + lease.count, ceil_seconds(lease.full_at - now))
        if lease.exhausted:
            return RateLimitResult(rate, 0, ceil_seconds(lease.expires_at - now), allowed=False)
        return None

    def grant(
        self, rate: Rate, client_key: str, taken: int, remaining: int, full_at: int, expires_at: int
    ) -> RateLimitResult:
        """Store a lease of ``taken`` requests and spend the first. ``remaining`` requests are left in the store.

        The quota is full again at ``full_at``. The lease ends at ``expires_at``, when its requests would have been
        refilled.
        """
        now = time.monotonic_ns()
        if len(self._leases) >= MAX_LEASES:
            self._leases.clear()
        lease = QuotaLease(taken - 1, remaining, full_at, expires_at)
        self._leases[rate.name, client_key] = lease
        return RateLimitResult(rate, remaining + lease.count, ceil_seconds(full_at - now))

    def reject(self, rate: Rate, client_key: str, until: int) -> RateLimitResult:
        """Reject this request and all others of the client before ``until``."""
        if len(self._leases) >= MAX_LEASES:
            self._leases.clear()
        self._leases[rate.name, client_key] = QuotaLease(0, 0, 0, until, exhausted=True)
        return RateLimitResult(rate, 0, ceil_seconds(until - time.monotonic_ns()), allowed=False)
