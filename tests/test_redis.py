"""Redis by URL: a single server, a group that Sentinel monitors, a cluster; and the state of a connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import BusyLoadingError, ClusterDownError, RedisClusterException, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from structlog.testing import capture_logs

from restwell import _redis as redis_module
from restwell._redis import COMMAND_SECONDS, RedisConnection, RedisUnavailable, connect


def options_of(client: Any) -> dict[str, Any]:
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    return options


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://one:6380/2", {"host": "one", "port": 6380, "db": 2}),
        ("redis://u:p%40ss@one/0", {"host": "one", "username": "u", "password": "p@ss"}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
    ],
)
def test_the_url_of_a_single_server_is_parsed(url: str, expected: dict[str, Any]) -> None:
    options = options_of(connect(url))
    assert expected.items() <= options.items()
    assert options["socket_timeout"] == COMMAND_SECONDS


def test_rediss_uses_tls() -> None:
    client = connect("rediss://one/0")
    assert isinstance(client, Redis)
    assert client.connection_pool.connection_class is SSLConnection


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_the_url_of_a_sentinel_group_is_parsed(scheme: str, tls: bool) -> None:  # noqa: FBT001  # a parameter
    """Breaks when the sentinels get the password of the servers. Seen to fail: the sentinels were asked without TLS."""
    client = connect(f"{scheme}+sentinel://u:p%40ss@one:26380,two,[::1]:26381,[::2]/main/3", timeout_seconds=2)
    pool = client.connection_pool  # type: ignore[union-attr]  # a single client
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "main"
    options = options_of(client)
    assert {"username": "u", "password": "p@ss", "db": 3, "socket_timeout": 2}.items() <= options.items()
    sentinels = [options_of(each) for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in sentinels] == [
        ("one", 26380),
        ("two", 6379),
        ("::1", 26381),
        ("::2", 6379),
    ]
    assert all(each.get("password") is None for each in sentinels)
    pools = [each.connection_pool for each in pool.sentinel_manager.sentinels]
    assert {issubclass(each.connection_class, SSLConnection) for each in (pool, *pools)} == {tls}


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_the_url_of_a_cluster_is_parsed(scheme: str, tls: bool) -> None:  # noqa: FBT001  # a parameter
    client = connect(f"{scheme}+cluster://:p%40ss@one:7000,two:7001/")
    assert isinstance(client, RedisCluster)
    assert sorted(client.nodes_manager.startup_nodes) == ["one:7000", "two:7001"]
    options = client.connection_kwargs
    assert (options["username"], options["password"]) == (None, "p@ss")
    assert (options.get("connection_class") is SSLConnection or options.get("ssl", False)) == tls


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://",
        "http://one",
        "redis+sentinel://one:26379",
        "redis+sentinel://one:26379/",
        "redis+cluster://one:7000/main",
        "redis+sentinel:///main",
        "redis+other://one/main",
        "redis+sentinel://u:hunter2@one/main/x",
    ],
)
def test_another_url_is_refused_with_the_forms_that_are_supported(url: str) -> None:
    """Breaks when a group without its service, or a cluster with one, is accepted. The message has no password."""
    with pytest.raises(ValueError, match=r"must be one of redis://.*redis\+sentinel://.*redis\+cluster://") as refused:
        connect(url)
    assert "hunter2" not in str(refused.value)


def replies(*outcomes: object) -> Callable[[], Awaitable[object]]:
    """A command that has one of the outcomes each time."""
    remaining = list(outcomes)

    async def command() -> object:
        outcome = remaining.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return command


async def test_a_connection_is_up_after_a_probe_and_down_after_a_failed_command() -> None:
    """Breaks when a command is sent while Redis is down: every request then waits for it."""
    redis = RedisConnection("redis://one", "cache")
    with pytest.raises(RedisUnavailable):
        await redis.execute(replies(1))
    assert await redis.probe(replies("PONG")) == "PONG"
    assert await redis.execute(replies(1)) == 1
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(RedisUnavailable):
                await redis.execute(replies(OSError("reset"), 1))
            with pytest.raises(RedisUnavailable):
                await redis.probe(replies(OSError("refused")))
        assert not redis.is_up
        await redis.probe(replies("PONG"))
        await redis.probe(replies("PONG"))
    assert await redis.execute(replies(2)) == 2
    assert [(line["event"], line["part"]) for line in logs] == [
        ("redis_disconnected", "cache"),
        ("redis_connected", "cache"),
    ], "a change is logged once"
    await redis.close()


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("OOM"),
        BusyLoadingError("loading"),
        RedisTimeoutError("slow"),
        RedisClusterException("no slots"),
        ClusterDownError("down"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
)
async def test_every_error_of_redis_is_one_exception(error: Exception) -> None:
    """Breaks when the errors of a cluster are not translated: they are no RedisError."""
    redis = RedisConnection("redis://one", "cache")
    await redis.probe(replies("PONG"))
    with pytest.raises(RedisUnavailable) as raised:
        await redis.execute(replies(error, error), repeatable=True)
    assert raised.value.__cause__ is error
    assert not redis.is_up


async def test_only_a_repeatable_command_is_sent_again_and_only_once_after_a_lost_connection() -> None:
    """Breaks when a rate limit is counted twice, and when a command that timed out is repeated."""
    redis = RedisConnection("redis://one", "cache")
    await redis.probe(replies("PONG"))
    assert await redis.execute(replies(RedisConnectionError("lost"), 1), repeatable=True) == 1
    assert await redis.execute(replies(ConnectionResetError(), 1), repeatable=True) == 1
    for repeatable, outcomes in (
        (False, (RedisConnectionError("lost"), 1)),
        (True, (RedisConnectionError("lost"), RedisConnectionError("lost"), 1)),
        (True, (RedisTimeoutError("slow"), 1)),
    ):
        with pytest.raises(RedisUnavailable):
            await redis.execute(replies(*outcomes), repeatable=repeatable)
        await redis.probe(replies("PONG"))


async def test_a_command_that_gets_no_response_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "COMMAND_SECONDS", 0.05)
    redis = RedisConnection("redis://one", "cache")
    began = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await redis.probe(lambda: asyncio.sleep(60))
    await redis.probe(replies("PONG"))
    with pytest.raises(RedisUnavailable):
        await redis.execute(lambda: asyncio.sleep(60), seconds=0.05)
    assert time.monotonic() - began < 5


async def test_another_error_is_a_bug_and_passes_through() -> None:
    redis = RedisConnection("redis://one", "cache")
    await redis.probe(replies("PONG"))
    with pytest.raises(ZeroDivisionError):
        await redis.execute(replies(ZeroDivisionError()))
    assert redis.is_up
