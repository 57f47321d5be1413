"""Rate limits: how often one client may do something, counted by all processes together."""

from restwell.rate_limits.limiter import RateLimited, RateLimiter, RateLimitStore
from restwell.rate_limits.local import LocalRateLimitStore
from restwell.rate_limits.rate import Rate, RateLimitResult

__all__ = ["LocalRateLimitStore", "Rate", "RateLimitResult", "RateLimitStore", "RateLimited", "RateLimiter"]
