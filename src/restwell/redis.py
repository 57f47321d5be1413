"""Redis clients by URL: one server, a group that Sentinel watches, or a cluster."""

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
    " redis+sentinel://[user:password@]host:port,host:port/service or redis+cluster://[user:password@]host:port,host:port"
)

Greet = Callable[[AbstractConnection], Awaitable[None]]

_MANY: Final = re.compile(
    r"redis(?P<tls>s?)\+(?P<kind>sentinel|cluster)://"
    r"(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?(?P<hosts>[^/?@]+)(?:/(?P<service>[\w.-]*)(?:/(?P<db>\d+))?)?/?"
)
_ONE: Final = re.compile(r"(rediss?|unix)://.+")


def connect(url: str, greet: Greet | None = None, *, answer_seconds: float = COMMAND_SECONDS) -> "Redis | RedisCluster":
    """A client that waits for no answer longer than ``answer_seconds`` and repeats nothing by itself; it connects when it is used.

    ``greet`` is called on each new connection to a server, but for those of a cluster. Raises ValueError for another kind of URL.
    """
    options: dict[str, Any] = {
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": COMMAND_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if _ONE.fullmatch(url):
        return Redis.from_url(url, redis_connect_func=greet, **options)
    found = _MANY.fullmatch(url)
    if found is None or (found["kind"] == "sentinel") != bool(found["service"]):
        raise ValueError(f"must be one of {FORMS}")
    if found["password"]:
        options |= {"username": unquote(found["user"]) or None, "password": unquote(found["password"])}
    hosts = [_host(each) for each in found["hosts"].split(",")]
    if found["kind"] == "cluster":
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return RedisCluster(startup_nodes=nodes, ssl=bool(found["tls"]), **options)
    asked = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "retry")}
    sentinel = Sentinel(hosts, sentinel_kwargs=asked, ssl=bool(found["tls"]), **options)  # type: ignore[no-untyped-call]  # redis-py's own
    master: Redis = sentinel.master_for(found["service"], db=int(found["db"] or 0), redis_connect_func=greet)
    return master


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if re.search(r":\d+$", text) else (text, "", "6379")
    return host.strip("[]"), int(port)
