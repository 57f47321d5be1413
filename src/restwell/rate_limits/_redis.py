"""Rate-limit state shared by several machines: one timestamp per client in Redis, on the clock of Redis.

A process leases a part of the remaining quota (``quota_leases.py``), because a round trip per request would cost more
than many requests do. While Redis is unavailable, each machine enforces its share locally: the rate divided by the
number of machines.
"""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from restwell._redis import RedisConnection, RedisUnavailable
from restwell.rate_limits._local import LocalRateLimitStore
from restwell.rate_limits._quota_leases import QuotaLeases
from restwell.rate_limits._rate import Rate, RateLimitResult

LEASE_DIVISOR: Final = 16
"""A process leases this fraction of the remaining quota."""
TIMEOUT_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 5.0
MACHINE_TTL_SECONDS: Final = 30
"""A machine without a heartbeat for this long is not counted."""
RETRY_SECONDS: Final = 0.5

# KEYS: the client. ARGV: the interval in microseconds, the count, and the lease divisor. Returns how many requests were
# taken, how many remain, and the microseconds until the quota is full; or 0, 0, and the microseconds until the next
# request is allowed.
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
# KEYS: the set of machines. ARGV: this machine, and the TTL of a machine in seconds. Returns the number of machines.
_HEARTBEAT: Final = """
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


def required_commands(prefix: str) -> list[tuple[Any, ...]]:
    """One example of each command that the store runs, on keys that begin with ``prefix`` and expire within a
    second.
    """
    return [
        ("EVAL", _TAKE, 1, f"{prefix}client", 1, 1, LEASE_DIVISOR),
        ("EVAL", _HEARTBEAT, 1, f"{prefix}machines", "probe", 1),
    ]


class RedisRateLimitStore:
    """Keys begin with ``name``, the name of the application. ``local`` counts while Redis is unavailable."""

    def __init__(self, url: str, name: str, local: LocalRateLimitStore) -> None:
        self._redis = RedisConnection(url, "rate_limits", timeout_seconds=TIMEOUT_SECONDS)
        self._prefix = f"{name}:rate_limits:"
        self._local = local
        self._leases = QuotaLeases()
        self._leasing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self.machines = 1
        self._heartbeat_task: asyncio.Task[None] | None = None

    @property
    def degraded(self) -> bool:
        return not self._redis.is_up

    async def start(self) -> None:
        await self._local.start()
        if self._heartbeat_task is None:
            await self._send_heartbeat()
            self._heartbeat_task = asyncio.create_task(self._send_heartbeats())

    async def close(self) -> None:
        task, self._heartbeat_task = self._heartbeat_task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._redis.close()
        await self._local.close()

    def take_nowait(self, rate: Rate, client_key: str) -> RateLimitResult | None:
        if not self._redis.is_up:
            return self._take_local(rate, client_key)
        return self._leases.spend(rate, client_key)

    async def take(self, rate: Rate, client_key: str) -> RateLimitResult:
        """Count a request in Redis, or locally if Redis does not respond.

        One lease at a time is requested for a client: concurrent requests spend it, and do not lease the whole quota.
        """
        async with self._leasing.setdefault((rate.name, client_key), asyncio.Lock()):
            return self.take_nowait(rate, client_key) or await self._lease(rate, client_key)

    async def _lease(self, rate: Rate, client_key: str) -> RateLimitResult:
        interval = max(1, rate.interval_ns // 1_000)
        try:
            taken, remaining, microseconds = await self._redis.execute(
                lambda: self._redis.client.eval(
                    _TAKE, 1, f"{self._prefix}{rate.name}:{client_key}", interval, rate.count, LEASE_DIVISOR
                )
            )
        except RedisUnavailable:
            return self._take_local(rate, client_key)
        now = time.monotonic_ns()
        when = now + microseconds * 1_000
        if not taken:
            return self._leases.reject(rate, client_key, when)
        return self._leases.grant(rate, client_key, taken, remaining, when, now + taken * interval * 1_000)

    def _take_local(self, rate: Rate, client_key: str) -> RateLimitResult:
        return self._local.take_nowait(rate.scaled(1 / self.machines), client_key)

    async def _send_heartbeat(self) -> None:
        machine = f"{socket.gethostname()}:{self._local.folder}"
        with suppress(RedisUnavailable):
            self.machines = await self._redis.probe(
                lambda: self._redis.client.eval(_HEARTBEAT, 1, f"{self._prefix}machines", machine, MACHINE_TTL_SECONDS)
            )

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS if self.degraded else HEARTBEAT_SECONDS)
            await self._send_heartbeat()
