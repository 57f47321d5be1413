"""A rate, what is left of it, and the arithmetic between (GCRA, the generic cell rate algorithm, ITU-T I.371 annex A).

What a client has spent is one moment: the one at which all of it will be there again. Each request moves that by one interval, and is
refused where it would come to lie further ahead than the whole window. So nothing is reset at the edge of a minute, and one number for
each client is enough.
"""

from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import force_setattr

NANOSECONDS: Final = 1_000_000_000


class Rate(Struct, frozen=True):
    """So many requests at once; one more after each ``seconds / count``. Routes with the same ``name`` count together."""

    name: str
    count: int
    seconds: int

    interval: int = 0
    """In nanoseconds: after so long one more is there."""

    def __post_init__(self) -> None:
        force_setattr(self, "interval", max(1, self.seconds * NANOSECONDS // self.count))

    def scaled(self, by: float) -> "Rate":
        """As many times of it, but at least one."""
        return Rate(self.name, max(1, round(self.count * by)), self.seconds)


class RateLimitResult(NamedTuple):
    """What one request was told: how many more would be admitted now, and in how many ``seconds`` all of them; or, where it was not
    ``admitted`` itself, the next.
    """

    rate: Rate
    remaining: int
    reset_seconds: int
    allowed: bool = True


def take(rate: Rate, full_at: int, now: int, shares: int) -> tuple[int, int]:
    """The moment at which all is there again, after one of so many ``shares`` of what is left was taken at ``now``, both in nanoseconds;
    and how many requests that share is: none where nothing is left, else at least one.
    """
    interval = rate.interval
    window = interval * rate.count
    ahead = full_at - now
    if not 0 < ahead <= window:
        ahead = 0  # all of it is there; or the moment is of another boot's clock, or of a longer window
    left = (window - ahead) // interval
    if left < 1:
        return full_at, 0
    taken = max(1, left // shares)
    return now + ahead + taken * interval, taken


def spend(rate: Rate, full_at: int, now: int) -> tuple[int, RateLimitResult]:
    """The moment at which all is there again, after one request at ``now``; both in nanoseconds."""
    full_at, taken = take(rate, full_at, now, rate.count)
    if not taken:
        return full_at, RateLimitResult(rate, 0, in_seconds(free_at(rate, full_at) - now), allowed=False)
    return full_at, RateLimitResult(rate, left_of(rate, full_at, now), in_seconds(full_at - now))


def left_of(rate: Rate, full_at: int, now: int) -> int:
    """How many more would be admitted at ``now``."""
    return (rate.interval * rate.count - (full_at - now)) // rate.interval


def free_at(rate: Rate, full_at: int) -> int:
    """From when on there is one again, where there is none."""
    return full_at - rate.interval * (rate.count - 1)


def in_seconds(nanoseconds: int) -> int:
    """Rounded up: who waits that long has waited long enough."""
    return -(-nanoseconds // NANOSECONDS)
