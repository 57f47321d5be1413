"""Redis by URL: a single server, a group monitored by Sentinel, or a cluster."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import structlog
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

log = structlog.get_logger("restwell.redis")

T = TypeVar("T")

COMMAND_SECONDS: Final = 0.5
FORMS: Final = (
    "redis://[user:password@]host:port/db, rediss:// (TLS), unix://path,"
    " redis+sentinel://[user:password@]host:port,host:port/service"
    " or redis+cluster://[user:password@]host:port,host:port"
)

REDIS_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a command raises if it has no response, or an error as its response."""

OnConnect = Callable[[AbstractConnection], Awaitable[None]]

_MULTI_HOST: Final = re.compile(
    r"redis(?P<tls>s?)\+(?P<kind>sentinel|cluster)://"
    r"(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?(?P<hosts>[^/?@]+)(?:/(?P<service>[\w.-]*)(?:/(?P<db>\d+))?)?/?"
)
_SINGLE_HOST: Final = re.compile(r"(rediss?|unix)://.+")


class _SentinelMaster(Redis):
    """A client of the master that Sentinel names. It closes the connections to the sentinels too."""

    manager: Sentinel

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001  # as in Redis
        await super().aclose(close_connection_pool)
        await self.manager.aclose()


class RedisUnavailable(Exception):
    """Redis did not respond, or responded with an error."""


class RedisConnection:
    """A client of one ``part`` of the application, and whether Redis responds. It is up from the first ``probe`` on.

    A command takes at most COMMAND_SECONDS, also if it connects first.
    """

    def __init__(
        self, url: str, part: str, on_connect: OnConnect | None = None, *, timeout_seconds: float = COMMAND_SECONDS
    ) -> None:
        self.client: Any = connect(url, on_connect, timeout_seconds=timeout_seconds)
        self.is_up = False
        self._part = part
        self._has_failed = False

    async def execute(
        self,
        command: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = False,
        seconds: float | None = COMMAND_SECONDS,
    ) -> T:
        """Run a command of ``client``. Raises RedisUnavailable: at once from then on, until a ``probe`` succeeds.

        A ``repeatable`` command is sent again if its connection was lost: the server may be healthy.
        """
        if not self.is_up:
            raise RedisUnavailable
        try:
            return await self._run(command, seconds)
        except REDIS_ERRORS as error:
            if repeatable and isinstance(error, RedisConnectionError | ConnectionError):
                return await self.execute(command, seconds=seconds)
            raise self._failed(error) from error

    async def probe(self, command: Callable[[], Awaitable[T]]) -> T:
        """Run a command whether Redis is up or not: the result decides. Raises RedisUnavailable."""
        try:
            result = await self._run(command, COMMAND_SECONDS)
        except REDIS_ERRORS as error:
            raise self._failed(error) from error
        self.is_up = True
        if self._has_failed:
            self._has_failed = False
            log.warning("redis_connected", part=self._part)
        return result

    async def close(self) -> None:
        await self.client.aclose()

    async def _run(self, command: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        async with asyncio.timeout(seconds):
            return await command()

    def _failed(self, error: BaseException) -> RedisUnavailable:
        self.is_up = False
        if not self._has_failed:
            self._has_failed = True
            log.warning("redis_disconnected", part=self._part, cause=repr(error))
        return RedisUnavailable()


def connect(
    url: str, on_connect: OnConnect | None = None, *, timeout_seconds: float = COMMAND_SECONDS
) -> "Redis | RedisCluster":
    """A client that connects on first use, waits at most ``timeout_seconds`` for a response, and never retries.

    ``on_connect`` runs on each new connection, except in a cluster. Raises ValueError for an unsupported URL.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": COMMAND_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if _SINGLE_HOST.fullmatch(url):
        return Redis.from_url(url, redis_connect_func=on_connect, **options)
    found = _MULTI_HOST.fullmatch(url)
    if found is None or (found["kind"] == "sentinel") != bool(found["service"]):
        raise ValueError(f"must be one of {FORMS}")
    if found["password"]:
        options |= {"username": unquote(found["user"]) or None, "password": unquote(found["password"])}
    hosts = [_parse_host(host) for host in found["hosts"].split(",")]
    if found["kind"] == "cluster":
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return RedisCluster(startup_nodes=nodes, ssl=bool(found["tls"]), **options)
    sentinel_options = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "retry")}
    options["ssl"] = sentinel_options["ssl"] = bool(found["tls"])
    sentinel = Sentinel(hosts, sentinel_kwargs=sentinel_options, **options)  # type: ignore[no-untyped-call]  # redis-py
    master: _SentinelMaster = sentinel.master_for(
        found["service"], _SentinelMaster, db=int(found["db"] or 0), redis_connect_func=on_connect
    )
    master.manager = sentinel
    return master


def _parse_host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if re.search(r":\d+$", text) else (text, "", "6379")
    return host.strip("[]"), int(port)
