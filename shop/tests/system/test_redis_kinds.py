"""The cache on each kind of Redis: with a password, over TLS, with Sentinel, and as a cluster."""

import asyncio
import gc
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cache_harness import TAG, CacheHarness, harness_database, wait_until_cached
from restwell.cache._redis import RedisStore
from restwell.cache._suspension import CacheSuspension
from restwell.database import Database
from servers import NEEDS, RedisServer, free_port, redis_program, redis_server, wait_until


@pytest.fixture(autouse=True)
def _needs_redis() -> None:
    if redis_program() is None:
        pytest.skip(f"{NEEDS}: Redis (apt-get install redis-server)")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with harness_database(tmp_path) as opened:
        yield opened


async def works(database: Database, url: str) -> CacheHarness:
    """Check that a value is cached, shared and invalidated. The caller must close the caches of the harness."""
    harness = CacheHarness(database, lambda: RedisStore(url, "test", CacheSuspension(database), strict=True))
    one, two = await harness.cache(), await harness.cache()
    written = await harness.get(one)
    for _ in range(5):  # on a busy machine, a command may exceed its time limit, and a value is then loaded again
        loads = harness.loads
        for _ in range(3):
            written += 1
            await harness.set(one, written)
            assert [await harness.get(two), await harness.get(one)] == [written, written]
        if harness.loads == loads + 3:
            return harness
    raise AssertionError("values are loaded again without a write")


async def close(harness: CacheHarness) -> None:
    for cache in harness.stores:
        await cache.close()


async def test_the_cache_works_on_a_redis_with_a_password(database: Database) -> None:
    with redis_server("--requirepass", "s3cret/with:signs") as server:
        url = f"redis://:s3cret%2Fwith%3Asigns@127.0.0.1:{server.port}/0"
        await close(await works(database, url))
        wrong = RedisStore(url.replace("s3cret", "other"), "test", CacheSuspension(database), strict=True)
        await wrong.start()
        assert not wrong.available
        await wrong.close()


async def test_the_cache_works_on_a_redis_over_tls(database: Database, tmp_path: Path) -> None:
    """Breaks when the certificate is not checked."""
    if shutil.which("openssl") is None:
        pytest.skip(f"{NEEDS}: OpenSSL (apt-get install openssl)")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, [*made, *files], check=True, capture_output=True)
    port = free_port()
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    with redis_server("--tls-port", str(port), "--tls-auth-clients", "no", *files):
        url = f"rediss://127.0.0.1:{port}/0"
        await close(await works(database, f"{url}?ssl_ca_certs={certificate}"))
        untrusting = RedisStore(url, "test", CacheSuspension(database), strict=True)
        await untrusting.start()
        assert not untrusting.available
        await untrusting.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, int]]:
    """A master, its replica, and the port of a Sentinel that monitors both."""
    with ExitStack() as stack:
        master = stack.enter_context(redis_server())
        replica = stack.enter_context(redis_server("--replicaof", f"127.0.0.1 {master.port}"))
        port, settings = free_port(), tmp_path / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor shop 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds shop 700\nsentinel failover-timeout shop 3000\n"
        )
        sentinel = subprocess.Popen(["redis-server", settings, "--sentinel"], stdout=subprocess.DEVNULL)
        stack.callback(sentinel.wait, 10)
        stack.callback(sentinel.terminate)
        wait_until(lambda: str(replica.port) in _redis_cli(port, "sentinel", "replicas", "shop"), sentinel)
        yield master, replica, port


def _is_ready(port: int) -> bool:
    """Whether the node knows the whole cluster and, if it is a replica, is synchronised."""
    replication = _redis_cli(port, "info", "replication")
    synced = "role:master" in replication or "master_link_status:up" in replication
    return synced and "cluster_state:ok" in _redis_cli(port, "cluster", "info")


def _redis_cli(port: int, *command: str) -> str:
    done = subprocess.run(["redis-cli", "-p", str(port), *command], capture_output=True, text=True, check=False)
    return done.stdout


async def test_the_cache_stays_correct_through_a_sentinel_failover(
    database: Database, watched: tuple[RedisServer, RedisServer, int]
) -> None:
    """Breaks when keys do not begin with the run id: a promoted replica may lack the last generations."""
    master, replica, port = watched
    harness = await works(database, f"redis+sentinel://127.0.0.1:{port}/shop")
    one, two = harness.stores
    replica.freeze()  # it misses the next generation
    await harness.set(one, 50)
    master.kill()
    replica.thaw()
    for number in range(51, 54):
        await harness.set(one, number)
        assert await harness.get(two) == number
    assert await wait_until_cached(harness, two, 30) < 20
    assert await wait_until_cached(harness, one, 10) < 10
    assert [await harness.get(one), await harness.get(two)] == [53, 53]
    await harness.set(two, 54)
    assert await harness.get(one) == 54
    await close(harness)
    del harness, one, two
    gc.collect()  # fails if connections to the sentinels are left open: they warn when they are collected
    master.start()  # the fixture stops it


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Three primaries with one replica each."""
    with ExitStack() as stack:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0"]
        buses = [str(free_port()) for _ in range(6)]
        servers = [stack.enter_context(redis_server(*options, "--cluster-port", bus)) for bus in buses]
        nodes = [f"127.0.0.1:{server.port}" for server in servers]
        create = ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        for server in servers:
            wait_until(partial(_is_ready, server.port))
        yield servers


async def primary_of(cluster: list[RedisServer], key: str) -> RedisServer:
    async with Redis(port=cluster[0].port) as admin:
        slot = await admin.execute_command("CLUSTER", "KEYSLOT", key)  # type: ignore[no-untyped-call]  # redis-py's own
        ranges = await admin.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]  # as above
    port = next(primary[1] for first, last, primary, *_ in ranges if first <= slot <= last)
    return next(server for server in cluster if server.port == port)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_the_cache_stays_correct_when_a_cluster_loses_a_primary(
    database: Database, cluster: list[RedisServer]
) -> None:
    nodes = ",".join(f"127.0.0.1:{server.port}" for server in cluster)
    harness = await works(database, f"redis+cluster://{nodes}")
    one, two = harness.stores
    keys = [server for server in cluster if int(_redis_cli(server.port, "dbsize"))]
    assert keys
    last, loads = await harness.get(one), harness.loads
    await one.invalidate_now()
    assert await harness.get(one) == last
    assert harness.loads > loads
    prefix = harness.stores[one]._prefix  # type: ignore[attr-defined]  # a RedisStore
    first = await primary_of(cluster, f"{prefix}t:{TAG}")
    first.kill()
    for number in range(10, 13):
        await harness.set(one, number)
        assert await harness.get(two) == number
    assert await wait_until_cached(harness, two, 30) < 25
    assert [await harness.get(one), await harness.get(two)] == [12, 12]
    await close(harness)
    first.start()
    gc.collect()  # redis-py does not close its connections to a removed node; the collector does, with a warning each
