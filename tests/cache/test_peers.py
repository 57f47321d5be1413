"""Several machines on one PostgreSQL without Redis: each detects the others and does not use its cache."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.testing import capture_logs

from cache_harness import TABLES, TAG, CacheHarness, Value
from pooler import pooler, pooler_program
from restwell._startup import check_services
from restwell.cache import Cache
from restwell.cache import _local as module
from restwell.cache._local import LocalStore
from restwell.cache._peers import Peers
from restwell.database import Database, Migrations, open_database
from restwell.errors import ConfigurationError
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, RedisSettings, Settings
from servers import NEEDS
from tiny.app import create_app

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

Start = Callable[..., Awaitable["Process"]]


class Process(CacheHarness):
    """A process of a machine, with its database sessions and its cache."""

    own_cache: Cache

    def __init__(self, database: Database, folder: Path, peers: Peers) -> None:
        self.store = LocalStore(folder, 1_000_000, lambda: peers.count_others(database))
        super().__init__(database, lambda: self.store)

    async def start(self) -> None:
        await self.database.start()
        self.own_cache = await self.cache()

    async def stop(self) -> None:
        await self.own_cache.close()
        await self.database.close()

    async def read(self) -> int:
        return await self.get(self.own_cache)

    async def write(self, number: int) -> None:
        await self.set(self.own_cache, number)

    async def is_hit(self) -> bool:
        await self.read()
        before = self.loads
        await self.read()
        return self.loads == before


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEER_POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "PEER_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(module, "RESUME_AFTER_SECONDS", 0.4)


@pytest.fixture
async def start(empty_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a process of the machine with the given runtime folder."""
    async with open_database(empty_url, 1) as database, database.migration() as tx:
        for statement in TABLES:
            await tx.run_script(statement)
    async with AsyncExitStack() as stack:

        async def start(folder: str, url: str = empty_url, name: str = "shop") -> Process:
            peers = Peers(name, tmp_path / folder)
            process = Process(open_database(url, 3, session_start=peers.session_start), tmp_path / folder, peers)
            await process.start()
            stack.push_async_callback(process.stop)
            return process

        yield start


async def wait_until_available(process: Process) -> None:
    async with asyncio.timeout(10):
        while not process.store.available:
            await asyncio.sleep(0.05)


async def test_a_write_of_another_machine_is_read_immediately(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the store stays available while another machine is connected, or when that machine writes before
    it is detected (PEER_GRACE_SECONDS = 0): a stale value was read for up to a minute.
    """
    monkeypatch.setattr(module, "PEER_POLL_SECONDS", 0.4)
    monkeypatch.setattr(module, "PEER_GRACE_SECONDS", 0.8)
    one = await start("one")
    assert await one.is_hit()
    two = await start("two")
    for number in (1, 2, 3):
        await two.write(number)
        assert [await one.read(), await two.read()] == [number, number]
        await one.write(number + 10)
        assert [await two.read(), await one.read()] == [number + 10, number + 10]


async def test_another_machine_is_logged_once_with_the_remedy(start: Start) -> None:
    """Breaks when the other machine is logged at each poll, or never."""
    registry = CollectorRegistry()
    with capture_logs() as lines:
        one = await start("one")
        registry.register(one.own_cache.metrics)
        assert registry.get_sample_value("restwell_cache_up") == 1
        two = await start("two")
        assert registry.get_sample_value("restwell_cache_up") == 0
        await asyncio.sleep(0.3)
        assert [one["event"] for one in lines] == ["cache_not_shared"] * 2  # one line per process
        assert {one["log_level"] for one in lines} == {"warning"}
        assert {one["other_machines"] for one in lines} == {1}
        assert "set REDIS_URL" in lines[0]["hint"]
        await start("three")
        assert [one["other_machines"] for one in lines[2:]] == [2] * 3
        await two.stop()
        await asyncio.sleep(0.3)
        assert [one["other_machines"] for one in lines[5:]] == [1] * 2


async def test_the_cache_is_used_again_when_the_other_machine_has_gone(start: Start) -> None:
    """Breaks when nothing is invalidated then: values from before the writes of the other machine were used again."""
    one = await start("one")
    assert await one.is_hit()
    two = await start("two")
    async with one.database.transaction() as tx:
        one.own_cache.write(tx, TAG, Value(5), kind=Value, tags=[TAG], ttl_seconds=60)
    await two.write(6)
    with capture_logs() as lines:
        await two.stop()
        await wait_until_available(one)
    assert [one["event"] for one in lines] == ["cache_resumed"]
    assert await one.read() == 6
    assert await one.is_hit()


@pytest.mark.parametrize("cached", ["before", "meanwhile"])
async def test_a_process_that_starts_after_the_other_machine_has_gone_finds_no_old_value(
    cached: str, start: Start
) -> None:
    """Breaks when nothing is invalidated when the other machine connects, or when values are cached while it is
    connected.
    """
    one = await start("one")
    assert await one.is_hit()
    two = await start("two")
    if cached == "meanwhile":
        async with one.database.transaction() as tx:
            one.own_cache.write(tx, TAG, Value(5), kind=Value, tags=[TAG], ttl_seconds=60)
    await two.write(6)
    await two.stop()
    late = await start("one")
    assert late.store.available
    assert await late.read() == 6


async def test_a_machine_that_lost_its_connections_still_counts(
    start: Start, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the first poll without other machines counts (RESUME_AFTER_SECONDS = 0): after a restart of the
    server all sessions are gone for a moment.
    """
    monkeypatch.setattr(module, "RESUME_AFTER_SECONDS", 2)
    one, two = await start("one"), await start("two")
    outside = await asyncpg.connect(empty_url)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid <> $1"
    await two.store.close()  # so that no session reconnects before the write
    await outside.execute(kill, Peers("shop", two.store._folder).machine_id)
    await outside.execute(kill, Peers("shop", one.store._folder).machine_id)
    await outside.close()
    await asyncio.sleep(0.3)
    assert not one.store.available


async def test_processes_with_one_cache_folder_share_the_cache(start: Start) -> None:
    """Breaks when each process counts as a machine: no cache was used at all."""
    with capture_logs() as lines:
        one, two = await start("one"), await start("one")
        assert await one.is_hit()
        assert await two.read() == 0
        assert two.loads == 0
        await two.write(1)
        assert await one.read() == 1
        await asyncio.sleep(0.2)
    assert lines == []


async def test_a_recreated_cache_folder_counts_as_another_machine(start: Start, tmp_path: Path) -> None:
    """Breaks when the path identifies the machine: services with private temporary folders have the same path."""
    one = await start("one")
    (tmp_path / "one").rename(tmp_path / "moved")
    two = await start("one")
    assert not two.store.available
    await two.write(1)
    assert await one.read() == 1


@pytest.mark.parametrize("other", [{"name": "other"}, {"url": "{url}?schema=other"}])
async def test_another_application_does_not_count_as_another_machine(
    start: Start, empty_url: str, other: dict[str, str]
) -> None:
    """Breaks when every session of the database counts: applications with one schema per tenant had no cache."""
    async with open_database(empty_url, 1) as database, database.migration() as tx:
        await tx.run_script("CREATE SCHEMA other")
    one = await start("one")
    two = await start("two", **{key: value.format(url=empty_url) for key, value in other.items()})
    await asyncio.sleep(0.2)
    assert [one.store.available, two.store.available] == [True, True]


async def test_a_machine_with_redis_counts_as_another_machine(start: Start, empty_url: str) -> None:
    """Breaks when machines with Redis hold no lock: a machine without REDIS_URL was not detected."""
    one = await start("one")
    async with open_database(empty_url, 1, session_start=Peers("shop", None).session_start):
        await asyncio.sleep(0.3)
        assert not one.store.available


async def test_a_role_without_privileges_sees_the_sessions_of_others(start: Start, empty_url: str) -> None:
    """Breaks when application_name in pg_stat_activity is used: it is hidden for sessions of other roles."""
    outside = await asyncpg.connect(empty_url)
    await outside.execute("DROP ROLE IF EXISTS unprivileged")
    await outside.execute("CREATE ROLE unprivileged LOGIN")
    try:
        await start("one")
        async with open_database(empty_url.replace("restwell@", "unprivileged@"), 1) as database:
            assert await Peers("shop", None).count_others(database) == 1
            await outside.execute("REVOKE SELECT ON pg_locks FROM PUBLIC")
            with pytest.raises(ConfigurationError, match="grant it SELECT on pg_locks, or set REDIS_URL"):
                await Peers("shop", None).count_others(database)
    finally:
        await outside.execute("DROP ROLE unprivileged")
        await outside.close()


async def test_a_machine_behind_a_pooler_stops_counting_when_it_has_gone(start: Start, empty_url: str) -> None:
    """Breaks when the session name is used: the pooler keeps its server connection, and the name with it."""
    if pooler_program() is None:
        pytest.skip(f"{NEEDS}: PgBouncer (apt-get install pgbouncer)")
    one = await start("one")
    with pooler(empty_url, "session") as url:
        two = await start("two", url)
        await asyncio.sleep(0.2)
        assert not one.store.available
        await two.stop()
        await wait_until_available(one)


def settings_of(url: str, folder: Path, redis: str | None = None, cache: str = "on") -> Settings:
    return Settings(
        runtime_dir=folder,
        cache=cache,  # type: ignore[arg-type]  # a valid value
        rate_limit=RateLimitSettings(scale=1),
        database=DatabaseSettings(url=SecretStr(url)),
        redis=RedisSettings(url=SecretStr(redis) if redis else None),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
    )


@asynccontextmanager
async def kit_of(settings: Settings) -> AsyncIterator[CollectorRegistry]:
    kit = create_app(settings).kit
    await kit.start()
    try:
        yield kit.metrics.registry
    finally:
        await kit.close()


async def test_the_startup_report_names_another_machine(empty_url: str, tmp_path: Path) -> None:
    """Breaks when only the running processes report it."""
    mine, theirs = settings_of(empty_url, tmp_path / "one"), settings_of(empty_url, tmp_path / "two")
    async with kit_of(theirs), open_database(empty_url, 1) as database:
        found = await check_services(mine, "tiny", database)
        assert found.services["cache"].startswith("not used: other machines (1) use this database; ")
        assert "set REDIS_URL for all machines" in found.services["cache"]
        assert found.degraded == ["cache"]
        for unaffected in (theirs, settings_of(empty_url, tmp_path / "one", cache="off")):
            assert (await check_services(unaffected, "tiny", database)).degraded == []


@pytest.mark.parametrize("kind", ["alone", "redis", "off", "sqlite"])
async def test_other_machines_are_polled_only_with_a_local_cache_on_postgresql(
    kind: str, empty_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Breaks when every process polls. Machines with Redis or without a cache need not detect others."""
    url = f"sqlite:///{tmp_path / 'tiny.db'}" if kind == "sqlite" else empty_url
    redis = request.getfixturevalue("redis_url") if kind == "redis" else None
    if kind == "redis":
        async with open_database(url, 1) as database:
            await Migrations().upgrade(database)
    settings = settings_of(url, tmp_path / "one", redis, "off" if kind == "off" else "on")
    async with kit_of(settings), kit_of(settings) as registry:
        counts = []
        for _ in range(2):
            counts.append(
                registry.get_sample_value(
                    "db_client_operation_duration_seconds_count",
                    {
                        "db_query_summary": "cache_peers.list_machine_ids",
                        "db_system_name": "sqlite" if url.startswith("sqlite") else "postgresql",
                    },
                )
            )
            await asyncio.sleep(0.2)
        assert (counts[0] != counts[1]) is (kind == "alone")
        if kind != "sqlite":
            async with open_database(url, 1) as database:
                assert await Peers("tiny", tmp_path / "other").count_others(database) == 1
