"""A replica that pauses, hangs, dies and is promoted: read-your-writes holds throughout, and writes recover."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from restwell.database._routing import POLL_SECONDS
from scoreboard import Score
from servers import NEEDS, RESTWELL, Postgres, Served, postgres, postgres_programs, restwell, serving
from shop_client import ShopClient

PEOPLE = ("customer1@shop.example", "customer2@shop.example", "admin@shop.example")


class Writer:
    """Updates and reads the name of a user, and counts stale reads."""

    def __init__(self, person: ShopClient) -> None:
        self.person = person
        self.token = ""
        self.reads = self.writes = self.failed = 0
        self.stale: list[str] = []
        self.written_at = 0.0
        self._maybe: set[str] = set()  # possible values: the last acknowledged write, and failed ones since

    async def until(self, stop: Callable[[], bool]) -> None:
        while not stop():
            name = f"name {self.writes + self.failed}"
            answer = await self._send("PATCH", {"name": name})
            if answer.status_code == 200:
                self.writes += 1
                self.written_at = time.monotonic()
                self._maybe = {name}
                self.token = answer.headers.get("consistency-token", self.token)
            else:
                assert answer.status_code == 503, answer.text
                self.failed += 1
                self._maybe.add(name)
            if self.writes % 10 == 0:
                await asyncio.sleep(2 * POLL_SECONDS)  # then the replica has the write, and serves the read
            answer = await self._send("GET")
            if answer.status_code == 200 and self.writes:
                self.reads += 1
                if answer.json()["name"] not in self._maybe:
                    self.stale.append(f"{answer.json()['name']} instead of {self._maybe}")

    async def _send(self, method: str, body: object = None) -> httpx.Response:
        headers = {"consistency_token": self.token} if self.token else {}
        self.person.client.cookies.clear()  # an API client uses only the header
        return await self.person.send(method, "/v1/users/me", body, **headers)


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    if postgres_programs() is None:
        pytest.skip(f"{NEEDS}: PostgreSQL (apt-get install postgresql)")
    with postgres() as primary, postgres(primary) as replica:
        yield primary, replica


@pytest.fixture
async def shop(pair: tuple[Postgres, Postgres], tmp_path: Path) -> AsyncIterator[Served]:
    primary, replica = pair
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
    environment = {
        "DATABASE_URL": f"postgresql://restwell@{hosts}/postgres?target_session_attrs=read-write",
        "DATABASE_REPLICA_URLS": replica.url,
        "RESTWELL_APP": "shop.app:shop",
        "WORKERS": "2",
        "CACHE": "off",  # otherwise reads do not reach the replicas
    }
    for command in ("migrate", "seed"):
        done = restwell(command, cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        yield served


async def run_on(server: Postgres, statement: str) -> int:
    connection = await asyncpg.connect(server.url)
    try:
        found: int = await connection.fetchval(statement)
        return found
    finally:
        await connection.close()


@pytest.mark.scoreboard(
    "D4", "a replica paused, frozen, killed, promoted", "0 of 10,000 reads miss the reader's write; writes back in 10 s"
)
async def test_a_writer_reads_its_own_write_whatever_happens_to_the_replica(
    pair: tuple[Postgres, Postgres], shop: Served, score: Score
) -> None:
    """Breaks when a read goes to any replica regardless of its LSN: thousands of reads are then stale."""
    primary, replica = pair
    seconds = score.size(1.5, 12)
    async with (
        httpx.AsyncClient(base_url=shop.url, timeout=20) as one,
        httpx.AsyncClient(base_url=shop.url, timeout=20) as two,
    ):
        clients = (one, two, one)
        people = [await ShopClient(client).sign_in(email) for client, email in zip(clients, PEOPLE, strict=True)]
        writers = [Writer(person) for person in people]
        over = asyncio.Event()
        writing = [asyncio.create_task(writer.until(over.is_set)) for writer in writers]
        try:
            await break_it(primary, replica, seconds)
            lost, back = await fail_over(primary, replica, writers)
            await asyncio.sleep(seconds)
        finally:
            over.set()
            await asyncio.gather(*writing)
    stale = [miss for writer in writers for miss in writer.stale]
    reads, failed = (sum(getattr(writer, name) for writer in writers) for name in ("reads", "failed"))
    assert not stale, f"{len(stale)} of {reads} reads were stale: {stale[:3]}"
    assert reads >= score.size(100, 10_000)
    assert back - lost < 10
    score.note(f"0 of {reads:,} reads stale; writes back after {back - lost:.1f} s; {failed:,} writes answered 503")


async def rows_read_on(server: Postgres) -> int:
    return await run_on(server, "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_tables WHERE relname = 'users'")


async def break_it(primary: Postgres, replica: Postgres, seconds: float) -> None:
    """Apply faults to the replica in turn, with time to recover between them."""

    async def pause() -> None:
        await run_on(replica, "SELECT pg_wal_replay_pause()")
        await asyncio.sleep(seconds)
        await run_on(replica, "SELECT pg_wal_replay_resume()")

    async def freeze() -> None:
        replica.freeze()
        await asyncio.sleep(seconds)
        replica.thaw()

    async def kill() -> None:
        await asyncio.to_thread(replica.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(replica.start)

    harms = (pause, freeze, kill)
    for harm in harms:
        served = await rows_read_on(replica)
        await asyncio.sleep(max(seconds, 2))  # PostgreSQL updates its statistics every second
        deadline = time.monotonic() + 60
        while await rows_read_on(replica) <= served:
            assert time.monotonic() < deadline, f"the replica was not read from before {harm.__name__}"
            await asyncio.sleep(0.5)
        await harm()
    await asyncio.sleep(seconds)
    assert await run_on(primary, "SELECT count(*) FROM pg_stat_replication") == 1


async def fail_over(primary: Postgres, replica: Postgres, writers: list[Writer]) -> tuple[float, float]:
    """Kill the primary and promote the replica. Returns the times of the kill and of the next successful write.

    The standby is made synchronous first: otherwise acknowledged writes could be lost with the primary.
    """
    await run_on(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await run_on(primary, "SELECT pg_reload_conf()")
    await asyncio.sleep(0.5)
    await asyncio.to_thread(primary.kill)
    lost = time.monotonic()
    await asyncio.sleep(1)
    await asyncio.to_thread(replica.promote)
    while (back := max(writer.written_at for writer in writers)) < lost + 1:
        assert time.monotonic() < lost + 30, "no write succeeds on the promoted replica"
        await asyncio.sleep(0.1)
    return lost, back
