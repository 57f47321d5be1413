"""C1 to C3 and R1: the cache under concurrent writes, expiry, partitions and an outage of Redis."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from order_load import empty_database, http_client
from read_consistency import Connection, History
from restwell.testing import FaultProxy
from scoreboard import Score
from servers import (
    NEEDS,
    RESTWELL,
    ROOT,
    RedisServer,
    Served,
    redis_program,
    redis_server,
    restwell,
    serving,
    working,
)
from shop_client import SUPPORT, ShopClient

HOT = 4


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    if redis_program() is None:
        pytest.skip(f"{NEEDS}: Redis (apt-get install redis-server)")
    with redis_server() as server:
        yield server


def environment(url: str, **more: str) -> dict[str, str]:
    ours = {"DATABASE_URL": url, "RESTWELL_APP": "slow_cache:project", "PYTHONPATH": str(SUPPORT), "WORKERS": "3"}
    return {**ours, "LOG_LEVEL": "warning", **more}


def prepare(settings: dict[str, str]) -> None:
    for command in ("migrate", "seed"):
        restwell(command, cwd=ROOT, **settings).check_returncode()


async def create_history(served: Served) -> History:
    """Create a few hot products of one category."""
    async with http_client(served.url) as client:
        admin = await ShopClient(client).sign_in("admin@shop.example")
        products = []
        for number in range(HOT):
            draft = {"name": f"Hot {number}", "category": "hot", "price_cents": 1, "currency": "EUR", "stock": 1}
            products.append((await admin.send("POST", "/v1/products", draft)).json())
        return History(products, admin.tokens)


async def play(history: History, url: str, reads: int, seconds: float) -> None:
    """Run eight writers and thirty-two readers until ``reads`` reads are done, for at most ``seconds``."""
    stop = time.monotonic() + seconds

    def done() -> bool:
        return history.reads >= reads or time.monotonic() > stop

    await asyncio.gather(
        *(history.write_until(done, url, 0.1) for _ in range(8)), *(history.read_until(done, url) for _ in range(32))
    )


async def query_count(served: Served, query: str) -> float:
    """How often the workers have run the query, in total."""
    await asyncio.sleep(1.2)  # each publishes its counts once a second
    async with httpx.AsyncClient(base_url=served.url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    name = f'db_client_operation_duration_seconds_count{{db_query_summary="{query}",'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.scoreboard("C1", "8 writers, 32 readers, hot keys, 3 processes, pauses before the cache set", "0 stale")
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_no_read_is_older_than_an_acknowledged_write(
    backend: str, tmp_path: Path, score: Score, request: pytest.FixtureRequest
) -> None:
    """Fails if a value is stored under the generations at that time (BROKEN=leases), or if the generations of the rows
    of a list are read after the rows (BROKEN=rows): both builds must be found to serve stale reads.
    """
    reads = score.size(4_000, 100_000)
    for broken in ("", "leases", "rows"):
        url = f"sqlite:///{tmp_path / f'shop{broken}.db'}"
        settings = environment(url, PAUSES="0.03", BROKEN=broken)
        if backend == "redis":
            server: str = request.getfixturevalue("postgres_server")
            redis: RedisServer = request.getfixturevalue("redis")
            settings |= {"DATABASE_URL": await empty_database(server, f"c1{broken}"), "REDIS_URL": redis.url}
        prepare(settings)
        folder = tmp_path / f"log{broken}"
        folder.mkdir()
        async with serving(folder, RESTWELL, "serve", cwd=ROOT, **settings) as served:
            history = await create_history(served)
            await play(history, served.url, 1_000 if broken else reads, seconds=120)
            while broken and not history.stale and history.reads < 100_000:
                await play(history, served.url, history.reads + 1_000, seconds=120)
        assert history.failed < history.reads / 100, "more than 1% of requests failed"
        assert history.hits > history.reads / 20, "the cache was not used"
        assert history.writes > history.reads / 1_000
        if broken:
            assert history.stale, f"no stale read was found with BROKEN={broken}"
            score.note(f"{len(history.stale)} of {history.reads:,} reads stale with BROKEN={broken}")
        else:
            score.note(f"{len(history.stale)} of {history.reads:,} reads stale, {history.hits:,} of them hits")
            score.note(f"{history.writes:,} writes")
            assert history.stale == []
            assert history.reads >= reads


@pytest.mark.scoreboard("C3", "500 concurrent reads of an expired key, 3 processes", "1 database load")
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_an_expired_key_is_loaded_once_for_concurrent_readers(
    backend: str, tmp_path: Path, score: Score, request: pytest.FixtureRequest
) -> None:
    """Breaks when acquire_lease always succeeds."""
    settings = environment(f"sqlite:///{tmp_path / 'shop.db'}", TTL="1")
    if backend == "redis":
        server: str = request.getfixturevalue("postgres_server")
        redis: RedisServer = request.getfixturevalue("redis")
        settings |= {"DATABASE_URL": await empty_database(server, "c3"), "REDIS_URL": redis.url}
    prepare(settings)
    async with serving(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings) as served:
        history = await create_history(served)
        path = f"/v1/products/{history.products[0]}"
        connections = [Connection(served.url) for _ in range(500)]
        first = await asyncio.gather(*(one.ask("GET", path) for one in connections))
        assert {status for status, _, _ in first} == {200}
        loads = []
        for _ in range(score.size(2, 10)):
            before = await query_count(served, "products.by_id")  # takes longer than the TTL
            began = time.monotonic()
            responses = await asyncio.gather(*(one.ask("GET", path) for one in connections))
            expired = int(time.monotonic() - began)  # the TTL is one second: a slow machine loads more than once
            loads.append(round(await query_count(served, "products.by_id") - before) - expired)
            assert {status for status, _, _ in responses} == {200}
        for one in connections:
            one.close()
    assert "Unexpected exit" not in served.output  # a worker that dies resets its connections
    score.note(f"{max(loads)} database load at most, in {len(loads)} rounds of 500")
    assert max(loads) <= 1


@pytest.mark.scoreboard("C2", "writes during a Redis partition", "bounded: stale <= 5 s after heal; strict: 0")
@pytest.mark.parametrize("mode", ["on", "bounded"])
async def test_writes_during_a_partition_are_not_read_stale_after_it(
    mode: str, tmp_path: Path, postgres_server: str, redis: RedisServer, score: Score
) -> None:
    """Breaks when a writer that cannot reach Redis records nothing in the database."""
    settings = environment(await empty_database(postgres_server, "c2"), CACHE=mode, WORKERS="2")
    prepare(settings)
    seconds, pause = score.size((5, 0.1), (20, 0.003))
    (tmp_path / "cut_off").mkdir()
    async with FaultProxy(redis.port) as proxy:
        through = f"redis://127.0.0.1:{proxy.port}/0"
        async with (
            serving(tmp_path / "cut_off", RESTWELL, "serve", cwd=ROOT, **settings, REDIS_URL=through) as cut_off,
            serving(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings, REDIS_URL=redis.url) as connected,
        ):
            history = await create_history(cut_off)
            began = time.monotonic()
            healed_at = began + 2 + seconds
            stop = healed_at + 6

            async def partition() -> None:
                await asyncio.sleep(2)
                proxy.stall()
                await asyncio.sleep(seconds)
                proxy.resume()

            def done() -> bool:
                return time.monotonic() > stop

            await asyncio.gather(
                partition(),
                *(history.write_until(done, cut_off.url, 0.1) for _ in range(4)),
                *(history.read_until(done, one.url, pause) for one in (cut_off, connected) for _ in range(8)),
            )
    assert history.writes > 20
    assert history.hits > 20
    late = max(history.stale, default=0.0)
    score.note(f"{len(history.stale)} of {history.reads:,} reads stale, {seconds} s cut off, {history.writes} writes")
    if mode == "on":
        assert history.stale == []
    else:
        during = max(
            (age for age, at in zip(history.stale, history.stale_at, strict=True) if at < healed_at), default=0.0
        )
        score.note(f"by {late:.1f} s at most, by {during:.1f} s while cut off")
        assert late < 5


@pytest.mark.scoreboard(
    "R1", "Redis stopped (SIGSTOP, then kill)", "success >= 99.5%; <= 50 ms added after 2 s; recovered <= 5 s"
)
async def test_the_shop_serves_fresh_reads_while_redis_is_down(
    tmp_path: Path, postgres_server: str, redis: RedisServer, score: Score
) -> None:
    """Breaks when the store keeps sending commands to an unavailable Redis: each read waits half a second."""
    settings = environment(await empty_database(postgres_server, "r1"), REDIS_URL=redis.url, WORKERS="2")
    prepare(settings)
    outage_seconds, pause = score.size((6, 0.05), (60, 0.02))
    async with serving(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings) as served:
        history = await create_history(served)
        began = time.monotonic()
        frozen_at = began + 3
        thawed_at = frozen_at + outage_seconds
        killed_at = thawed_at + 6
        back_at = killed_at + outage_seconds / 2
        stop = back_at + 6

        async def faults() -> None:
            await asyncio.sleep(3)
            redis.freeze()
            await asyncio.sleep(outage_seconds)
            redis.thaw()
            await asyncio.sleep(6)
            redis.kill()
            await asyncio.sleep(outage_seconds / 2)
            await asyncio.to_thread(redis.start)

        def done() -> bool:
            now = time.monotonic()
            return now > stop and (history.hit_at[-1] > back_at or now > stop + 30)

        await asyncio.gather(
            faults(),
            *(history.write_until(done, served.url, 0.2) for _ in range(2)),
            *(history.read_until(done, served.url, pause) for _ in range(8)),
        )
    requests = history.reads + history.writes + history.failed
    success = 1 - history.failed / requests
    before = _p95(history, began, frozen_at)
    during = max(_p95(history, frozen_at + 2, thawed_at), _p95(history, killed_at + 2, back_at))
    recovered = max(_first_hit(history, thawed_at), _first_hit(history, back_at))
    score.note(f"{success:.2%} of {requests:,} succeeded, {len(history.stale)} stale")
    score.note(f"p95 of reads {before * 1_000:.0f} ms with Redis, {during * 1_000:.0f} ms without after 2 s")
    score.note(f"hits again {recovered:.1f} s after it is back")
    assert success >= 0.995
    assert history.stale == []
    assert during - before <= score.size(0.4, 0.05)
    assert recovered <= score.size(30, 5)


async def test_two_machines_without_redis_read_no_stale_value(tmp_path: Path, postgres_server: str) -> None:
    """Breaks without the detection of other machines: one served a stale value for a minute after a write of the other.

    A worker counts as a machine, too.
    """
    settings = environment(await empty_database(postgres_server, "machines"), WORKERS="1")
    prepare(settings)
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    async with serving(folders[0], RESTWELL, "serve", cwd=ROOT, **settings) as one:
        history = await create_history(one)
        await play(history, one.url, 200, seconds=20)
        assert history.hits > 0
        assert "cache_not_shared" not in one.output
        async with serving(folders[1], RESTWELL, "serve", cwd=ROOT, **settings) as two:
            stop = time.monotonic() + 3

            def done() -> bool:
                return time.monotonic() > stop

            await asyncio.gather(
                *(history.write_until(done, served.url, 0.05) for served in (one, two)),
                *(history.read_until(done, served.url, 0.01) for served in (one, two) for _ in range(4)),
            )
            assert [served.output.count("cache_not_shared") for served in (one, two)] == [1, 1]
            assert "startup_degraded" in two.output
            worker = await asyncio.to_thread(_output_of_worker, folders[2], settings)
            assert "cache_not_shared" in worker
            assert '"other_machines":2' in one.output
            await asyncio.sleep(1.2)  # each worker publishes its metrics once a second
            async with httpx.AsyncClient(base_url=one.url) as client:
                assert "restwell_cache_up 0.0" in (await client.get("/metrics")).text
    assert history.stale == []
    assert history.failed == 0


def _output_of_worker(folder: Path, settings: dict[str, str]) -> str:
    with working(folder, cwd=ROOT, **settings | {"LOG_LEVEL": "info"}) as worker:
        time.sleep(1.5)
        return worker.output


def _p95(history: History, begin: float, end: float) -> float:
    return statistics.quantiles((took for at, took in history.latencies if begin < at < end), n=20)[-1]


def _first_hit(history: History, since: float) -> float:
    return min(at for at in history.hit_at if at > since) - since
