"""What the processes of all machines know together of who has spent what: a number for each client in Redis, by Redis' clock.

Asking it at every request would cost more than many a request does. So a process takes a share of what is left (``shares.py``).

While Redis is away each machine limits by itself, to its part: what the rate allows, by the number of machines.
"""

import asyncio
import socket
import time
from typing import Any, Final

import structlog
from redis.exceptions import RedisClusterException, RedisError

from restwell.rate_limits.local import LocalRateLimitStore
from restwell.rate_limits.quota_leases import Shares
from restwell.rate_limits.rate import Rate, RateLimitResult
from restwell.redis import connect

log = structlog.get_logger("restwell.rate_limits")

SHARES: Final = 16
"""A process takes this part of what is left."""
ANSWER_SECONDS: Final = 0.25
PRESENT_SECONDS: Final = 5.0
GONE_SECONDS: Final = 30
"""A machine that has not been heard of for so long does not count."""
RETRY_SECONDS: Final = 0.5

# KEYS: whose it is. ARGV: the interval in microseconds, the count, and the part to take. Gives how many were taken, how many are left,
# and in how many microseconds all are there again; or 0, 0, and when the next one is.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
if full < now or full > now + interval * count then full = now end
local left = math.floor((now + interval * count - full) / interval)
if left < 1 then return {0, 0, full + interval - now - interval * count} end
local taken = math.max(1, math.floor(left / ARGV[3]))
full = full + taken * interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return {taken, left - taken, full - now}
"""
# KEYS: the machines. ARGV: this one, and after how many seconds one that is silent is gone. Gives how many there are.
_PRESENT: Final = """
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
_FAULTS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)


def needed_commands(prefix: str) -> list[tuple[Any, ...]]:
    """Every command that the limits run, on keys that begin with ``prefix`` and are gone within a second."""
    return [("EVAL", _TAKE, 1, f"{prefix}spent", 1, 1, SHARES), ("EVAL", _PRESENT, 1, f"{prefix}machines", "probe", 1)]


class RedisRateLimitStore:
    """Keys begin with the application's ``name``. ``machine`` is asked while Redis is away."""

    def __init__(self, url: str, name: str, machine: LocalRateLimitStore) -> None:
        self._client: Any = connect(url, answer_seconds=ANSWER_SECONDS)
        self._prefix = f"{name}:limits:"
        self._machine = machine
        self._shares = Shares()
        self.machines = 1
        self._watching: asyncio.Task[None] | None = None
        self.degraded = True

    async def start(self) -> None:
        await self._machine.start()
        if self._watching is None:
            await self._look()
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._client.aclose()
        await self._machine.close()

    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        """Count a request of ``client_key``, if nobody else need be asked for that; else None."""
        if self.degraded:
            return self._alone(rate, client_key)
        return self._shares.take(rate, client_key)

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request of ``client_key``; by Redis, if it answers."""
        interval = max(1, rate.interval // 1_000)
        try:
            taken, left, microseconds = await self._client.eval(
                _TAKE, 1, f"{self._prefix}{rate.name}:{client_key}", interval, rate.count, SHARES
            )
        except _FAULTS as error:
            self._away(error)
            return self._alone(rate, client_key)
        now = time.monotonic_ns()
        when = now + microseconds * 1_000
        if not taken:
            return self._shares.refuse(rate, client_key, when)
        return self._shares.add(rate, client_key, taken, left, when, now + taken * interval * 1_000)

    def _alone(self, rate: Rate, client_key: str) -> RateLimitResult:
        return self._machine.take_nowait(rate.scaled(1 / self.machines), client_key)

    def _away(self, error: BaseException) -> None:
        if not self.degraded:
            log.warning("rate_limits_degraded", cause=repr(error), machines=self.machines)
        self.degraded = True

    async def _look(self) -> None:
        try:
            self.machines = await self._client.eval(
                _PRESENT, 1, f"{self._prefix}machines", f"{socket.gethostname()}:{self._machine.folder}", GONE_SECONDS
            )
        except _FAULTS as error:
            self._away(error)
        else:
            self.degraded = False

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS if self.degraded else PRESENT_SECONDS)
            await self._look()
