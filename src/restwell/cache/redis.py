"""The store between machines: Redis keeps values and leases, and for each tag a mark and who is writing to it.

What a process asks for in one turn of its event loop goes out together, so that under load a check costs a share of a round trip.
Keys begin with the id of the server's run: one that restarts with an old file, or is promoted without the last writes, is another
server, and nothing that was kept in the one before holds.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import structlog
from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from restwell.cache.store import LEASE_SECONDS, WRITE_SECONDS, Found, Marks, Store, StoreUnavailable, Write
from restwell.cache.suspension import POLL_SECONDS, CacheSuspension
from restwell.database import Transaction
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.redis import COMMAND_SECONDS, connect

log = structlog.get_logger("restwell.cache")

BOUND_SECONDS: Final = 1.0
"""In bounded mode, how long a mark counts without being asked for again."""
MARK_SECONDS: Final = 86_400
"""How long a mark is kept after it was last needed for a value or a write. A mark that is gone holds nothing."""
KNOWN: Final = 100_000
"""So many marks are remembered in bounded mode."""
AT_ONCE: Final = 500

# A tag's mark and, while it is written to, its writers: "mark,writer:until,writer:until". ARGV: a writer, for how many milliseconds
# it writes (0: no longer), how many seconds to keep the mark, and a new mark. That takes the old one's place when a writer comes, when
# one goes whose coming has been lost, and when there is none.
_MARK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local value = redis.call('GET', KEYS[1]) or ''
local mark, writers, known = string.match(value, '^%x+'), '', ARGV[1] == ''
for id, till in string.gmatch(value, ',(%x+):(%d+)') do
  if id == ARGV[1] then known = true
  elseif tonumber(till) > now then writers = writers .. ',' .. id .. ':' .. till end
end
if ARGV[2] ~= '0' then
  mark, writers = ARGV[4], writers .. ',' .. ARGV[1] .. ':' .. string.format('%.0f', now + ARGV[2])
elseif not known or not mark then
  mark = ARGV[4]
end
redis.call('SET', KEYS[1], mark .. writers, 'EX', ARGV[3])
return mark .. writers
"""

_FAULTS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)

Command = Callable[[Any, str], None]
"""Adds itself to a pipeline, for the given beginning of keys."""


class RedisStore(Store):
    """Strict: every use of a value asks for its marks. Bounded: a mark that was asked for counts for BOUND_SECONDS."""

    def __init__(self, url: str, name: str, outage: CacheSuspension, *, strict: bool) -> None:
        self._name = name
        self._outage = outage
        self._strict = strict
        self._client = connect(url, self._greet)
        self._run = ""
        self._up = False
        self._watching: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._queue: list[tuple[Command, asyncio.Future[Any]]] = []
        self._readers: list[asyncio.Future[dict[str, str | None]]] = []
        self._wanted: dict[str, None] = {}
        self._known: dict[str, tuple[str | None, float]] = {}

    @property
    def usable(self) -> bool:
        if not self._up or self._outage.since is not None:
            return False
        return not self._strict or time.monotonic() < self._outage.trusted_until

    async def start(self) -> None:
        if self._watching is not None:
            return
        try:
            await self._outage.look()
        except ServiceUnavailable:
            raise
        except Exception as error:
            raise ConfigurationError(
                [
                    f"REDIS_URL needs the table cache_suspension with its one row (see restwell.cache.suspension_tables): {error}"
                ]
            ) from error
        await self._try_again()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        for task in (self._watching, self._sending):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (self._watching, self._sending) if task), return_exceptions=True)
        self._watching = self._sending = None
        await self._client.aclose()

    def holds(self, marks: Marks) -> bool | None:
        if self._strict:
            return None
        latest = time.monotonic() - BOUND_SECONDS
        for tag, mark in marks:
            known, asked_at = self._known.get(cast("str", tag), (None, 0.0))
            if asked_at < latest:
                return None
            if known != mark:
                return False
        return True

    async def still_holds(self, marks: Marks) -> bool:
        read = await self._read([cast("str", tag) for tag, _ in marks])
        return all(now == mark for now, (_, mark) in zip(read, marks, strict=True))

    async def look(self, key: str, tags: Sequence[str]) -> Found:
        data, read = await asyncio.gather(
            self._ask(lambda pipe, prefix: pipe.get(f"{prefix}v:{key}")), self._read(tags)
        )
        if any(mark is None or "," in mark for mark in read):
            # A mark that is missing is made; one that a dead writer left closed opens when its time is over.
            read = await asyncio.gather(*(self._mark(tag) for tag in tags))
        if any("," in cast("str", mark) for mark in read):
            return Found(None, data)
        return Found(tuple(zip(tags, cast("list[str]", read), strict=True)), data)

    async def lease(self, key: str, tags: Sequence[str]) -> tuple[bool, Found]:
        milliseconds = round(LEASE_SECONDS * 1_000)
        taken, found = await asyncio.gather(
            self._ask(lambda pipe, prefix: pipe.set(f"{prefix}l:{key}", 1, nx=True, px=milliseconds)),
            self.look(key, tags),
        )
        return taken is not None, found

    async def keep(self, key: str, data: bytes, ttl_seconds: float) -> None:
        milliseconds = max(1, round(ttl_seconds * 1_000))
        kept = self._ask(lambda pipe, prefix: pipe.set(f"{prefix}v:{key}", data, px=milliseconds))
        await asyncio.gather(kept, self.release(key))

    async def release(self, key: str) -> None:
        await self._ask(lambda pipe, prefix: pipe.delete(f"{prefix}l:{key}"))

    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> Write:
        mark = _new_mark()
        try:
            await asyncio.gather(*(self._mark(tag, mark, WRITE_SECONDS) for tag in tags))
        except StoreUnavailable:
            # Some may be closed; they open when the time of this write is over.
            return Write({tag: (tag, mark) for tag in tags}, await self._outage.note(tx, tags))
        return Write({tag: (tag, mark) for tag in tags})

    async def end_write(self, write: Write) -> bool:
        noted = write.noted
        if noted is None:
            try:
                left = await asyncio.gather(
                    *(self._mark(tag, cast("str", mark)) for tag, (_, mark) in write.marks.items())
                )
            except StoreUnavailable:
                # Redis may have come back as another, where nobody knows of this write.
                noted = await self._outage.note_alone(list(write.marks))
            else:
                return left == [mark for _, mark in write.marks.values()]
        await self._outage.settle(noted)
        return False

    async def forget(self, tags: Sequence[str] | None) -> None:
        if tags is None:
            tags = await self._every_tag()
        for some in range(0, len(tags), AT_ONCE):
            mark = _new_mark()
            await asyncio.gather(*(self._mark(tag, mark, WRITE_SECONDS) for tag in tags[some : some + AT_ONCE]))
            await asyncio.gather(*(self._mark(tag, mark) for tag in tags[some : some + AT_ONCE]))

    async def _every_tag(self) -> list[str]:
        beginning = f"{self._prefix}t:"
        try:
            found = [key async for key in self._client.scan_iter(match=f"{beginning}*", count=1_000)]
        except _FAULTS as error:
            raise StoreUnavailable from error
        return [key.decode().removeprefix(beginning) for key in found]

    @property
    def _prefix(self) -> str:
        return f"{self._name}:{self._run}:"

    async def _mark(self, tag: str, writer: str = "", seconds: float = 0) -> str:
        """Run the script for a tag: a writer comes for so many seconds, or goes; or its mark is made if there is none."""
        mark = writer if seconds else _new_mark()
        arguments = (writer, round(seconds * 1_000), MARK_SECONDS, mark)
        value: bytes = await self._ask(lambda pipe, prefix: pipe.eval(_MARK, 1, f"{prefix}t:{tag}", *arguments))
        self._known.pop(tag, None)
        return value.decode()

    async def _read(self, tags: Sequence[str]) -> list[str | None]:
        """The tags' marks. Of those who ask for the same tag in the same turn, one asks for all."""
        answer: asyncio.Future[dict[str, str | None]] = asyncio.get_running_loop().create_future()
        self._readers.append(answer)
        self._wanted.update(dict.fromkeys(tags))
        self._wake()
        marks = await answer
        return [marks[tag] for tag in tags]

    def _ask(self, command: Command) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((command, answer))
        self._wake()
        return answer

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Send what has come together, as long as there is any: one pipeline at a time."""
        try:
            while self._queue or self._readers:
                queue, self._queue = self._queue, []
                readers, self._readers = self._readers, []
                wanted, self._wanted = list(self._wanted), {}
                asked_at = time.monotonic()
                results = await self._execute([*(command for command, _ in queue), *map(_get, wanted)])
                for (_, answer), result in zip(queue, results, strict=False):
                    _give(answer, result)
                self._tell(readers, wanted, results[len(queue) :], asked_at)
        finally:
            self._sending = None

    def _tell(
        self,
        readers: list["asyncio.Future[dict[str, str | None]]"],
        tags: list[str],
        results: Sequence[Any],
        asked_at: float,
    ) -> None:
        failed = next((result for result in results if isinstance(result, Exception)), None)
        marks = {} if failed else {tag: value and value.decode() for tag, value in zip(tags, results, strict=True)}
        if not self._strict:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known.update((tag, (mark, asked_at)) for tag, mark in marks.items())
        for reader in readers:
            _give(reader, failed or marks)

    async def _execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        if not self._up:
            return [StoreUnavailable()] * len(commands)
        for again in (True, False):
            try:
                pipe = self._client.pipeline(transaction=False)
                for command in commands:
                    command(pipe, self._prefix)
                async with asyncio.timeout(COMMAND_SECONDS):
                    results: list[Any] = await pipe.execute(raise_on_error=False)
            except _FAULTS as error:
                # A connection that was lost says so at once, and the server behind it may be well.
                if again and isinstance(error, RedisConnectionError | ConnectionError):
                    continue
                self._leave(error)
            else:
                if failed := next((one for one in results if isinstance(one, Exception)), None):
                    self._leave(failed)
                return results
        return [StoreUnavailable()] * len(commands)

    async def _greet(self, connection: AbstractConnection) -> None:
        """Of each new connection: whose it is. One to another server than before fails what was about to be asked of that."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        run = _run_in(await connection.read_response())
        if run != self._run:
            before, self._run = self._run, run
            if before:
                log.warning("cache_server_changed")
                raise RedisConnectionError("another server")

    def _leave(self, error: Exception) -> None:
        if self._up:
            self._up = False
            log.warning("redis_disconnected", cause=repr(error))

    async def _try_again(self) -> None:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._identify()
        except _FAULTS:
            return
        if not self._up:
            self._up = True
            log.warning("redis_connected")

    async def _identify(self) -> None:
        if isinstance(self._client, RedisCluster):
            if not self._up:
                await self._client.aclose()  # so that it asks anew which nodes there are
            infos = await self._client.info("server", target_nodes=RedisCluster.PRIMARIES)
            runs = sorted(info["run_id"] for info in infos.values())
            self._run = hashlib.sha256("".join(runs).encode()).hexdigest()[:16]
        else:
            await self._client.ping()

    async def _watch(self) -> None:
        """Look at the database's word and at Redis, twice a second, for as long as the store is open."""
        while True:
            try:
                await self._outage.look()
                if not self._up or isinstance(self._client, RedisCluster):
                    await self._try_again()
                if self._up and self._outage.since is not None:
                    await self._outage.drain(self.forget)
            except (ServiceUnavailable, StoreUnavailable) as error:
                log.info("cache_watch_failed", cause=repr(error))
            await asyncio.sleep(POLL_SECONDS)


def needed_commands(prefix: str) -> list[tuple[Any, ...]]:
    """Every command that the store runs, on keys that begin with ``prefix`` and are gone within a second."""
    return [
        ("INFO", "server"),
        ("EVAL", _MARK, 1, f"{prefix}t", "", 0, 1, _new_mark()),
        ("SET", f"{prefix}l", 1, "NX", "PX", 1),
        ("GET", f"{prefix}v"),
        ("DEL", f"{prefix}l"),
        ("SCAN", 0, "MATCH", f"{prefix}*", "COUNT", 1),
    ]


def _new_mark() -> str:
    return f"{random.getrandbits(64):016x}"  # never the same again, which is all it must be


def _get(tag: str) -> Command:
    return lambda pipe, prefix: pipe.get(f"{prefix}t:{tag}")


def _give(answer: "asyncio.Future[Any]", result: Any) -> None:
    if answer.done():  # whoever asked has gone
        return
    if isinstance(result, Exception):
        answer.set_exception(StoreUnavailable())
    else:
        answer.set_result(result)


def _run_in(info: bytes) -> str:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value.decode()[:16]
    raise RedisConnectionError("a server without a run id")
