"""What a process may give out by itself: a share of what is left of a rate, which it took at once from where all of that is counted.

Nobody gets more than the rate, and the less is left, the smaller the shares, down to one. What is not given out by the time that it would
have come back anyway is lost.
"""

import time
from typing import Final

from restwell.rate_limits.rate import Rate, RateLimitResult, in_seconds

CLIENTS: Final = 20_000
"""The shares of so many are remembered."""


class _Share:
    """So many until ``ends_at``; or ``refused``: before that there is none, and nobody need be asked."""

    __slots__ = ("count", "ends_at", "full_at", "left", "refused")

    def __init__(self, count: int, left: int, full_at: int, ends_at: int, *, refused: bool = False) -> None:
        self.refused = refused
        self.count = count
        self.left = left
        self.full_at = full_at
        self.ends_at = ends_at


class Shares:
    """Times are of the machine's own clock, in nanoseconds."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], _Share] = {}

    def take(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """One request out of the share that is held; None where another must be asked for."""
        share = self._held.get((rate.name, client_key))
        if share is None:
            return None
        now = time.monotonic_ns()
        if now >= share.ends_at:
            return None
        if share.count > 0:
            share.count -= 1
            return RateLimitResult(rate, share.left + share.count, in_seconds(max(0, share.full_at - now)))
        return RateLimitResult(rate, 0, in_seconds(share.ends_at - now), allowed=False) if share.refused else None

    def add(self, rate: Rate, client_key: str, taken: int, left: int, full_at: int, ends_at: int) -> RateLimitResult:
        """``taken`` were given, of which one request takes the first; ``left`` are there for others, and all again at ``full_at``.

        At ``ends_at`` what was taken would have come back.
        """
        now = time.monotonic_ns()
        if len(self._held) >= CLIENTS:
            self._held.clear()
        held = self._held.get((rate.name, client_key))
        more = held.count if held is not None and now < held.ends_at else 0  # asked twice at once
        share = _Share(more + taken - 1, left, full_at, ends_at)
        self._held[rate.name, client_key] = share
        return RateLimitResult(rate, left + share.count, in_seconds(max(0, full_at - now)))

    def refuse(self, rate: Rate, client_key: str, until: int) -> RateLimitResult:
        """There is none before ``until``."""
        if len(self._held) >= CLIENTS:
            self._held.clear()
        self._held[rate.name, client_key] = _Share(0, 0, 0, until, refused=True)
        return RateLimitResult(rate, 0, in_seconds(max(0, until - time.monotonic_ns())), allowed=False)
