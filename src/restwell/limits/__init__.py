"""Rate limits: how often one client may do something, counted by all processes together."""

from restwell.limits.limiter import RateLimited, RateLimiter
from restwell.limits.machine import MachineLimits
from restwell.limits.rate import Allowance, Rate
from restwell.limits.redis import RedisLimits

__all__ = ["Allowance", "MachineLimits", "Rate", "RateLimited", "RateLimiter", "RedisLimits"]
