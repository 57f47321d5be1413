"""Redis URLs: a single server, a group that Sentinel monitors, and a cluster."""

from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from restwell._redis import COMMAND_SECONDS, connect


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
