"""Rate limits: how often one client may do something, counted by all processes together."""

from restwell.limits.limiter import LimitStore, RateLimited, RateLimiter
from restwell.limits.machine import MachineLimits
from restwell.limits.rate import Allowance, Rate

__all__ = ["Allowance", "LimitStore", "MachineLimits", "Rate", "RateLimited", "RateLimiter"]
