"""The shop with clock skew: an hour ahead in every second process, an hour behind in the others.

It waits longer for Redis than in production, so that it counts with Redis on a busy machine too.
"""

import os
import time

HOUR_NS = 3_600_000_000_000

_time_ns = time.time_ns
_skew = HOUR_NS if os.getpid() % 2 else -HOUR_NS
time.time_ns = lambda: _time_ns() + _skew
time.time = lambda: (_time_ns() + _skew) / 1e9

import restwell.rate_limits._redis as limits  # noqa: E402  # after the patch
from shop.app import shop as project  # noqa: E402

limits.TIMEOUT_SECONDS = 10.0  # type: ignore[misc]  # a constant

__all__ = ["project"]
