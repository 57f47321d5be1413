"""Rate limits per client, enforced across the processes of one machine, or across machines with Redis."""

from restwell.rate_limits.limiter import RateLimited, RateLimiter, RateLimitStore
from restwell.rate_limits.local import LocalRateLimitStore
from restwell.rate_limits.rate import Rate, RateLimitResult

__all__ = ["LocalRateLimitStore", "Rate", "RateLimitResult", "RateLimitStore", "RateLimited", "RateLimiter"]
