"""Redis clients by URL: a single server, a group monitored by Sentinel, or a cluster."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

COMMAND_SECONDS: Final = 0.5
FORMS: Final = (
    "redis://[user:password@]host:port/db, rediss:// (TLS), unix://path,"
    " redis+sentinel://[user:password@]host:port,host:port/service"
    " or redis+cluster://[user:password@]host:port,host:port"
)

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
