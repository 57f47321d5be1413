"""Rate limits per client, enforced across the processes of one machine, or across machines with Redis."""

from restwell.rate_limits._limiter import RateLimited, RateLimiter, RateLimitStore
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.rate_limits._rate import Rate, RateLimitResult

__all__ = ["LocalRateLimitStore", "Rate", "RateLimitResult", "RateLimitStore", "RateLimited", "RateLimiter"]
