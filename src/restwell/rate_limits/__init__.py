"""Rate limits per client, enforced across the processes of one machine, or across machines with Redis."""

from restwell.rate_limits._rate import Rate

__all__ = ["Rate"]
