"""The store of several machines: Redis stores values and leases, and for each tag its generation and its current
writers.

Commands that a process issues in one iteration of its event loop share one pipeline, so that under load a check costs a
fraction of a round trip. Keys begin with the run id of the server: a server that restarts from an old file, or a
replica that is promoted without the last writes, has another run id, so that no value of the previous server is used.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from restwell._batcher import Batcher
from restwell._redis import RedisConnection, RedisUnavailable
from restwell.cache._store import (
    LEASE_SECONDS,
    WRITE_TIMEOUT_SECONDS,
    Generation,
    Generations,
    PendingWrite,
    Store,
    StoreLookup,
    StoreUnavailable,
)
from restwell.cache._suspension import POLL_SECONDS, CacheSuspension
from restwell.database import Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable

log = structlog.get_logger("restwell.cache")

MAX_STALENESS_SECONDS: Final = 1.0
"""In bounded mode, how long a generation is trusted without a check."""
GENERATION_TTL_SECONDS: Final = 86_400
"""How long a generation is stored after its last use. A value whose generation has expired is not current."""
MAX_REMEMBERED: Final = 100_000
"""The number of generations that a process remembers in bounded mode."""
INVALIDATION_BATCH: Final = 500

# Updates the generation of a tag. The value of its key is "generation,writer:expiry,writer:expiry". ARGV: a writer; its
# timeout in milliseconds (0: its write ends); the TTL of the key in seconds; a new generation. The new generation
# replaces the old one if a write begins, if a write ends whose begin was lost, or if there is no generation. Returns
# the new value.
_UPDATE_GENERATION: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local value = redis.call('GET', KEYS[1]) or ''
local generation, writers, known = string.match(value, '^%x+'), '', ARGV[1] == ''
for id, expiry in string.gmatch(value, ',(%x+):(%d+)') do
  if id == ARGV[1] then known = true
  elseif tonumber(expiry) > now then writers = writers .. ',' .. id .. ':' .. expiry end
end
if ARGV[2] ~= '0' then
  generation, writers = ARGV[4], writers .. ',' .. ARGV[1] .. ':' .. string.format('%.0f', now + ARGV[2])
elseif not known or not generation then
  generation = ARGV[4]
end
redis.call('SET', KEYS[1], generation .. writers, 'EX', ARGV[3])
return generation .. writers
"""

Command = Callable[[Any, str], None]
"""Appends itself to a pipeline, for the given key prefix."""
Tags = tuple[str, ...]
"""A request for the values of tags: None for a missing one."""


class RedisStore(Store):
    """Strict: every use of a value checks its generations in Redis.

    Bounded: a checked generation is trusted for MAX_STALENESS_SECONDS.
    """

    def __init__(self, url: str, name: str, suspension: CacheSuspension, *, strict: bool) -> None:
        self._name = name
        self._suspension = suspension
        self._strict = strict
        self._redis = RedisConnection(url, "cache", self._on_connect)
        self._run_id = ""
        self._watcher: asyncio.Task[None] | None = None
        self._pipelines: Batcher[Command | Tags, Any] = Batcher(self._send)
        self._remembered: dict[str, tuple[str | None, float]] = {}

    @property
    def available(self) -> bool:
        if not self._redis.is_up or self._suspension.suspended_at is not None:
            return False
        return not self._strict or time.monotonic() < self._suspension.trusted_until

    async def start(self) -> None:
        if self._watcher is not None:
            return
        try:
            await self._suspension.refresh()
        except ServiceUnavailable:
            raise
        except Exception as error:
            message = "REDIS_URL needs the table cache_suspension with one row: run restwell migrate"
            raise ConfigurationError([f"{message}: {error}"]) from error
        with suppress(RedisUnavailable):
            await self._redis.probe(self._ping)
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait([watcher])
        await self._pipelines.close()
        await self._redis.close()

    def is_current_nowait(self, generations: Generations) -> bool | None:
        if self._strict:
            return None
        oldest = time.monotonic() - MAX_STALENESS_SECONDS
        for tag, generation in generations:
            remembered, checked_at = self._remembered.get(cast("str", tag), (None, 0.0))
            if checked_at < oldest:
                return None
            if remembered != generation:
                return False
        return True

    async def is_current(self, generations: Generations) -> bool:
        read = await self._pipelines.add(tuple(cast("str", tag) for tag, _ in generations))
        return all(now == generation for now, (_, generation) in zip(read, generations, strict=True))

    async def get(self, key: str, tags: Sequence[str]) -> StoreLookup:
        data, read = await asyncio.gather(
            self._pipelines.add(lambda pipe, prefix: pipe.get(f"{prefix}v:{key}")), self._pipelines.add(tuple(tags))
        )
        generations = await self._without_old_writers(tags, read)
        return StoreLookup(None if None in generations else tuple(cast("list[Generation]", generations)), data)

    async def generations(self, tags: Sequence[str]) -> list[Generation | None]:
        return await self._without_old_writers(tags, await self._pipelines.add(tuple(tags)))

    async def acquire_lease(self, key: str, tags: Sequence[str]) -> tuple[bool, StoreLookup]:
        milliseconds = round(LEASE_SECONDS * 1_000)
        acquired, found = await asyncio.gather(
            self._pipelines.add(lambda pipe, prefix: pipe.set(f"{prefix}l:{key}", 1, nx=True, px=milliseconds)),
            self.get(key, tags),
        )
        return acquired is not None, found

    async def set(self, key: str, data: bytes, ttl_seconds: float) -> None:
        milliseconds = max(1, round(ttl_seconds * 1_000))
        stored = self._pipelines.add(lambda pipe, prefix: pipe.set(f"{prefix}v:{key}", data, px=milliseconds))
        await asyncio.gather(stored, self.release_lease(key))

    async def release_lease(self, key: str) -> None:
        await self._pipelines.add(lambda pipe, prefix: pipe.delete(f"{prefix}l:{key}"))

    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> PendingWrite:
        generation = _new_generation()
        try:
            await asyncio.gather(*(self._update_generation(tag, generation, WRITE_TIMEOUT_SECONDS) for tag in tags))
        except StoreUnavailable:
            # A write may have begun for some of the tags; it ends with its timeout.
            suspended_at = await self._suspension.suspend(tx, tags)
            return PendingWrite({tag: (tag, generation) for tag in tags}, suspended_at)
        return PendingWrite({tag: (tag, generation) for tag in tags})

    async def end_write(self, write: PendingWrite) -> bool:
        suspended_at = write.suspended_at
        if suspended_at is None:
            try:
                values = await asyncio.gather(
                    *(
                        self._update_generation(tag, cast("str", generation))
                        for tag, (_, generation) in write.generations.items()
                    )
                )
            except StoreUnavailable:
                # Redis may return as another server that has no record of this write.
                suspended_at = await self._suspension.suspend_now(list(write.generations))
            else:
                return values == [generation for _, generation in write.generations.values()]
        await self._suspension.wait_until_visible(suspended_at)
        return False

    async def invalidate(self, tags: Sequence[str] | None) -> None:
        if tags is None:
            tags = await self._list_tags()
        for start in range(0, len(tags), INVALIDATION_BATCH):
            batch = tags[start : start + INVALIDATION_BATCH]
            generation = _new_generation()
            await asyncio.gather(*(self._update_generation(tag, generation, WRITE_TIMEOUT_SECONDS) for tag in batch))
            await asyncio.gather(*(self._update_generation(tag, generation) for tag in batch))

    async def _list_tags(self) -> list[str]:
        prefix = f"{self._prefix}t:"

        async def scan() -> list[str]:
            found = self._redis.client.scan_iter(match=f"{prefix}*", count=1_000)
            return [key.decode().removeprefix(prefix) async for key in found]

        try:
            return await self._redis.execute(scan, seconds=None)
        except RedisUnavailable as error:
            raise StoreUnavailable from error

    @property
    def _prefix(self) -> str:
        return f"{self._name}:{self._run_id}:"

    async def _without_old_writers(self, tags: Sequence[str], values: list[str | None]) -> list[Generation | None]:
        """The generation in each value. Creates missing ones, and removes writers whose timeout has passed."""
        if any(value is None or "," in value for value in values):
            unclear = [tag for tag, value in zip(tags, values, strict=True) if value is None or "," in value]
            updated = iter(await asyncio.gather(*map(self._update_generation, unclear)))
            values = [next(updated) if value is None or "," in value else value for value in values]
        return [
            None if "," in value else (tag, value) for tag, value in zip(tags, cast("list[str]", values), strict=True)
        ]

    async def _update_generation(self, tag: str, writer: str = "", timeout_seconds: float = 0) -> str:
        """Run the script for a tag: begin a write with a timeout, end a write, or create a missing generation."""
        generation = writer if timeout_seconds else _new_generation()
        arguments = (writer, round(timeout_seconds * 1_000), GENERATION_TTL_SECONDS, generation)
        value: bytes = await self._pipelines.add(
            lambda pipe, prefix: pipe.eval(_UPDATE_GENERATION, 1, f"{prefix}t:{tag}", *arguments)
        )
        self._remembered.pop(tag, None)
        return value.decode()

    async def _send(self, requests: list[Command | Tags]) -> list[Any]:
        """Send one pipeline. Requests for the values of tags share one GET per tag."""
        commands = [request for request in requests if not isinstance(request, tuple)]
        tags = list(dict.fromkeys(tag for request in requests if isinstance(request, tuple) for tag in request))
        sent_at = time.monotonic()

        def execute() -> Awaitable[list[Any]]:
            pipe = self._redis.client.pipeline(transaction=False)
            for command in (*commands, *map(_get_tag, tags)):
                command(pipe, self._prefix)
            replies: Awaitable[list[Any]] = pipe.execute()
            return replies

        try:
            replies = await self._redis.execute(execute, repeatable=True)
        except RedisUnavailable:
            return [StoreUnavailable() for _ in requests]
        values = [value and value.decode() for value in replies[len(commands) :]]
        found: dict[str, str | None] = dict(zip(tags, values, strict=True))
        if not self._strict:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered.update((tag, (value, sent_at)) for tag, value in found.items())
        remaining = iter(replies)
        return [[found[tag] for tag in one] if isinstance(one, tuple) else next(remaining) for one in requests]

    async def _on_connect(self, connection: AbstractConnection) -> None:
        """Read the run id on each new connection.

        If it has changed, fail the commands that were built with the old one.
        """
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        run_id = _parse_run_id(await connection.read_response())
        if run_id != self._run_id:
            previous, self._run_id = self._run_id, run_id
            if previous:
                log.warning("redis_server_changed")
                raise RedisConnectionError("another server")

    async def _ping(self) -> None:
        """Check the connection. In a cluster, also compute its run id from those of the primaries."""
        client = self._redis.client
        if isinstance(client, RedisCluster):
            if not self._redis.is_up:
                await client.aclose()  # the next command discovers the nodes again
            infos = await client.info("server", target_nodes=RedisCluster.PRIMARIES)
            run_ids = sorted(info["run_id"] for info in infos.values())
            self._run_id = hashlib.sha256("".join(run_ids).encode()).hexdigest()[:16]
        else:
            await client.ping()

    async def _watch(self) -> None:
        """Poll the suspension and the connection every POLL_SECONDS while the store is open."""
        while True:
            try:
                await self._suspension.refresh()
                if not self._redis.is_up or isinstance(self._redis.client, RedisCluster):
                    await self._redis.probe(self._ping)
                if self._suspension.suspended_at is not None:
                    await self._suspension.resume(self.invalidate)
            except RedisUnavailable:
                pass  # it has been logged
            except (ServiceUnavailable, StoreUnavailable) as error:
                log.info("cache_poll_failed", cause=repr(error))
            await asyncio.sleep(POLL_SECONDS)


def required_commands(prefix: str) -> list[tuple[Any, ...]]:
    """One example of each command that the store runs, on keys that begin with ``prefix`` and expire within a
    second.
    """
    return [
        ("INFO", "server"),
        ("EVAL", _UPDATE_GENERATION, 1, f"{prefix}t", "", 0, 1, _new_generation()),
        ("SET", f"{prefix}l", 1, "NX", "PX", 1),
        ("GET", f"{prefix}v"),
        ("DEL", f"{prefix}l"),
        ("SCAN", 0, "MATCH", f"{prefix}*", "COUNT", 1),
    ]


def _new_generation() -> str:
    return secrets.token_hex(8)  # not of random, which libraries seed


def _get_tag(tag: str) -> Command:
    return lambda pipe, prefix: pipe.get(f"{prefix}t:{tag}")


def _parse_run_id(info: bytes) -> str:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value.decode()[:16]
    raise RedisConnectionError("a server without a run id")
