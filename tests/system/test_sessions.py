"""Sessions across processes: one successor per refresh token, theft detection on every node, and no timing leaks."""

import asyncio
import statistics
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import func, select, update

from accounts_app import PASSWORD, Role, Scope
from accounts_environment import accounts_environment
from api_client import Json
from restwell.accounts._sessions.models import refresh_tokens
from restwell.database import open_database, param, query
from restwell.testing import ApiClient
from scoreboard import Score
from servers import RESTWELL, ROOT, SUPPORT, Served, serve

_age = query(
    "test.age",
    update(refresh_tokens).where(refresh_tokens.c.used_at.is_not(None)).values(used_at=param("used_at")),
)
_count = query("test.tokens", select(func.count().label("n")).select_from(refresh_tokens), into=int)


@pytest.fixture
async def shared(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The shared services of the nodes: a SQLite file, or PostgreSQL and Redis; migrated, with users."""
    settings = {"RUNTIME_DIR": str(tmp_path / "cache")}
    url = f"sqlite:///{tmp_path}/accounts.db"
    if backend == "redis":
        server: str = request.getfixturevalue("postgres_server")
        connection = await asyncpg.connect(server)
        name = f"identity_{tmp_path.name}".lower().replace("-", "_")[:60]
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()
        url = f"{server.rpartition('/')[0]}/{name}"
        settings["REDIS_URL"] = str(request.getfixturevalue("redis_url"))
    return accounts_environment(url, **settings)


def node(stack: ExitStack, folder: Path, settings: dict[str, str]) -> Served:
    folder.mkdir()
    return stack.enter_context(serve(folder, RESTWELL, "serve", cwd=ROOT, **settings, WORKERS="2"))


@pytest.mark.scoreboard(
    "A8",
    "100 concurrent refreshes of one token, 2 nodes; then its reuse",
    "one new pair; the session revoked on every node in 1 s",
)
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_a_refresh_token_has_one_successor_and_its_reuse_ends_the_session_on_every_node(
    shared: dict[str, str], tmp_path: Path, score: Score
) -> None:
    """Breaks without ``used_at IS NULL`` in use_token: two successors.

    Breaks without the invalidation in _revoke: the session stays alive on other nodes.
    """
    with ExitStack() as stack:
        nodes = [node(stack, tmp_path / name, shared) for name in ("one", "two")]
        async with httpx.AsyncClient(timeout=30) as client:
            owner = await signed_in_at(nodes[0], client, "member")
            body = {"refresh_token": owner.tokens["refresh_token"]}
            urls = [f"{nodes[number % 2].url}/v1/sessions/refresh" for number in range(100)]
            answers = await asyncio.gather(*(refreshed(client, url, body) for url in urls))
            assert {answer.status_code for answer in answers} == {200}
            pairs = {answer.json()["refresh_token"] for answer in answers}
            assert len(pairs) == 1
            async with open_database(shared["DATABASE_URL"]) as database:
                assert await database.one(_count) == 2
                await database.run(_age, used_at=datetime.now(UTC) - timedelta(seconds=11))
            headers = [{"authorization": f"Bearer {answer.json()['access_token']}"} for answer in answers[:8]]
            for one in nodes:
                for header in headers:
                    assert (await client.get(f"{one.url}/v1/users/me", headers=header)).status_code == 200
            assert (await client.post(urls[0], json=body)).status_code == 401
            reused = time.monotonic()
            for one in nodes:
                for header in headers:
                    assert (await client.get(f"{one.url}/v1/users/me", headers=header)).status_code == 401
            successor = await client.post(urls[1], json={"refresh_token": pairs.pop()})
            seconds = time.monotonic() - reused
            assert successor.status_code == 401
    score.note("100 answers, 1 pair")
    score.note(f"17 requests on both nodes rejected, the last {seconds * 1_000:.0f} ms after the response to the thief")
    assert seconds < score.size(10, 1)


async def signed_in_at(one: Served, client: httpx.AsyncClient, name: str) -> ApiClient:
    return await ApiClient(client, sessions_path=f"{one.url}/v1/sessions").sign_in(f"{name}@app.example", PASSWORD)


@pytest.mark.scoreboard("A8", "revocations at one node of two", "no access on every node within 1 s")
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_revoked_access_ends_on_every_node(shared: dict[str, str], tmp_path: Path, score: Score) -> None:
    """Breaks without the invalidation in ``revoke_all_in``, ``_revoke``, ``update_user`` or ``revoke`` of clients."""
    slowest = 0.0
    with ExitStack() as stack:
        here, there = (node(stack, tmp_path / name, shared) for name in ("one", "two"))
        async with httpx.AsyncClient(timeout=30) as client:
            admin = await signed_in_at(here, client, "admin")
            member, device, other = [await signed_in_at(here, client, name) for name in ("member", "member", "other")]
            draft = {"name": "Counter", "scopes": [Scope.NOTES_READ]}
            made: Json = (await admin.post(f"{here.url}/v1/clients", draft)).json()
            machine = ApiClient(client)
            await machine.use_client_credentials(made["id"], made["secret"], path=f"{here.url}/v1/oauth/token")
            ids = {one: (await one.get(f"{here.url}/v1/users/me")).json()["id"] for one in (member, other)}
            promotion = {"role": Role.ADMIN}
            assert (await admin.patch(f"{here.url}/v1/users/{ids[other]}", promotion)).is_success
            own, count, of_other = "/v1/users/me", "/v1/notes/count", f"/v1/users/{ids[other]}"
            ends = (
                (device, own, device, "DELETE", "/v1/sessions/current", None, 401),
                (member, own, member, "DELETE", "/v1/sessions", None, 401),
                (other, count, admin, "PATCH", of_other, {"role": Role.MEMBER}, 403),
                (other, own, admin, "PATCH", of_other, {"active": False}, 401),
                (machine, count, admin, "DELETE", f"/v1/clients/{made['id']}", None, 401),
            )
            for caller, path, by, method, change, body, status in ends:
                for one in (here, there) * 4:  # each node has two processes, which cache the session
                    assert (await caller.get(f"{one.url}{path}")).status_code == 200
                assert (await by.send(method, f"{here.url}{change}", body)).is_success
                changed = time.monotonic()
                for one in (there, here) * 4:
                    answer = await caller.get(f"{one.url}{path}")
                    assert (method, change, answer.status_code) == (method, change, status)
                slowest = max(slowest, time.monotonic() - changed)
    score.note(f"{len(ends)} revocations, each in effect for 8 requests within {slowest * 1_000:.0f} ms")
    assert slowest < score.size(10, 1)


async def refreshed(client: httpx.AsyncClient, url: str, body: dict[str, str]) -> httpx.Response:
    """Retry while the node is overloaded: then nothing was changed."""
    while (answer := await client.post(url, json=body)).status_code == 503 and answer.json()["code"] == "overloaded":
        await asyncio.sleep(0.1)
    return answer


@pytest.mark.scoreboard("A8", "sign-ins of existing and unknown users, alternating", "the times differ by less than 5%")
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_the_response_time_does_not_reveal_who_has_an_account(
    shared: dict[str, str], tmp_path: Path, score: Score
) -> None:
    """Breaks when the password of an unknown user is not hashed: the response is ten times faster."""
    tries, bound = score.size((40, 0.5), (200, 0.05))
    each = 4  # the fifth guess at an account is throttled
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    with ExitStack() as stack:
        one = node(stack, tmp_path / "one", shared)
        async with httpx.AsyncClient(base_url=one.url, timeout=30) as client:
            for number in range(tries // each):
                account = {"email": f"known{number}@app.example", "password": "a long enough one", "name": "Known"}
                assert (await client.post("/v1/users", json=account)).status_code == 201
            for number in range(tries):
                for kind, taken in times.items():
                    body = {"email": f"{kind}{number // each}@app.example", "password": "a wrong one"}
                    began = time.perf_counter()
                    answer = await client.post("/v1/sessions", json=body)
                    taken.append(time.perf_counter() - began)
                    assert answer.status_code == 401
    known, unknown = (statistics.median(taken) for taken in times.values())
    difference = abs(known - unknown) / max(known, unknown)
    score.note(f"{tries} each: {known * 1_000:.1f} ms and {unknown * 1_000:.1f} ms, {difference:.1%} apart")
    assert difference < bound


@pytest.mark.scoreboard(
    "A8",
    "128 concurrent sign-in clients, on the cores of the server",
    "503 for excess sign-ins; other requests wait at most 50 ms longer (p95)",
)
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_a_flood_of_sign_ins_does_not_slow_other_requests(
    shared: dict[str, str], tmp_path: Path, score: Score
) -> None:
    """Breaks when passwords are hashed in the event loop: every request waits for every hash."""
    seconds = score.size(3, 10)
    with ExitStack() as stack:
        one = node(stack, tmp_path / "one", shared)
        async with httpx.AsyncClient(base_url=one.url, timeout=30) as client:
            person = await ApiClient(client).sign_in("member@app.example", PASSWORD)
            calm = await waits_of(person, seconds)
            command = (sys.executable, SUPPORT / "login_flood.py", one.url, "128", str(seconds + 2))
            flood = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
            await asyncio.sleep(1.5)  # until it has started
            busy = await waits_of(person, seconds)
            output, _ = await flood.communicate()
    statuses = {int(status): int(count) for status, count in (line.split() for line in output.decode().splitlines())}
    before, during = (statistics.quantiles(waits, n=20)[-1] * 1_000 for waits in (calm, busy))
    score.note(f"{statuses.get(401, 0)} refused, {statuses.get(503, 0)} sent away")
    score.note(f"p95 of the own account {before:.1f} ms before, {during:.1f} ms meanwhile")
    assert set(statuses) == {401, 503}
    # A busy machine slows the flood's other requests as it slows those before it.
    assert during - before < score.size(max(500, 20 * before), 50)


async def waits_of(person: ApiClient, seconds: float) -> list[float]:
    """The latencies at fifty requests per second."""
    waits = []
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        began = time.perf_counter()
        while (answer := await person.get("/v1/users/me")).status_code == 503:
            assert answer.json()["code"] == "overloaded", "a busy machine may refuse it, and then it waits longer"
        assert answer.status_code == 200
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    return waits
