"""A rate and its arithmetic: GCRA, the generic cell rate algorithm (ITU-T I.371 annex A).

The state of a client is one timestamp, ``full_at``: the time at which its quota is full again. Each request moves it
forward by one interval. A request is rejected if that would move it further ahead than the window. So there is no reset
at a window boundary, and one number per client is enough.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

NANOSECONDS: Final = 1_000_000_000


class Rate(Struct, frozen=True, cache_hash=True):
    """A burst of ``count`` requests, and one more every ``seconds / count``.

    Routes with the same ``name`` share one quota.
    """

    name: str
    count: int
    seconds: int

    interval_ns: int = 0
    """The time in which one request of quota is refilled."""

    def __post_init__(self) -> None:
        force_setattr(self, "interval_ns", max(1, self.seconds * NANOSECONDS // self.count))

    def scaled(self, factor: float) -> "Rate":
        """The rate with its count multiplied by the factor, at least 1."""
        return Rate(self.name, max(1, round(self.count * factor)), self.seconds)


class RateLimitResult(Struct, frozen=True):
    """The result of counting one request. ``remaining``: how many more requests are allowed now.

    ``reset_seconds``: when the quota is full again, or, if the request was not allowed, when the next request is
    allowed.
    """

    rate: Rate
    remaining: int
    reset_seconds: int
    allowed: bool = True


def take_lease(rate: Rate, full_at: int, now: int, divisor: int) -> tuple[int, int]:
    """Take ``1 / divisor`` of the remaining quota, at least one request. Times are in nanoseconds.

    Return the new ``full_at`` and the number of requests taken: 0 if no quota remains.
    """
    interval = rate.interval_ns
    window = interval * rate.count
    ahead = full_at - now
    if not 0 < ahead <= window:
        ahead = 0  # the quota is full; or the timestamp is from before a reboot, or of a longer window
    remaining = (window - ahead) // interval
    if remaining < 1:
        return full_at, 0
    taken = max(1, remaining // divisor)
    return now + ahead + taken * interval, taken


def spend(rate: Rate, full_at: int, now: int) -> tuple[int, RateLimitResult]:
    """Take one request. Return the new ``full_at`` and the result. Times are in nanoseconds."""
    full_at, taken = take_lease(rate, full_at, now, rate.count)
    if not taken:
        return full_at, RateLimitResult(rate, 0, ceil_seconds(next_allowed_at(rate, full_at) - now), allowed=False)
    return full_at, RateLimitResult(rate, remaining_at(rate, full_at, now), ceil_seconds(full_at - now))


def remaining_at(rate: Rate, full_at: int, now: int) -> int:
    """How many more requests are allowed at ``now``."""
    return (rate.interval_ns * rate.count - (full_at - now)) // rate.interval_ns


def next_allowed_at(rate: Rate, full_at: int) -> int:
    """When the next request is allowed, if no quota remains."""
    return full_at - rate.interval_ns * (rate.count - 1)


def ceil_seconds(nanoseconds: int) -> int:
    """Seconds, rounded up, so that a client that waits this long is allowed; 0 for a time that has passed."""
    return -(-nanoseconds // NANOSECONDS) if nanoseconds > 0 else 0
