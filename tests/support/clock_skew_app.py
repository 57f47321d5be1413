"""The shop with a clock that is wrong: an hour ahead in every second process, an hour behind in the others."""

import os
import time

HOUR_NS = 3_600_000_000_000

_right = time.time_ns
_skew = HOUR_NS if os.getpid() % 2 else -HOUR_NS
time.time_ns = lambda: _right() + _skew
time.time = lambda: (_right() + _skew) / 1e9

from shop.app import shop as project  # noqa: E402  # after the clock

__all__ = ["project"]
