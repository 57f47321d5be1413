"""L1: a rate limit holds across processes, machines and skewed clocks."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from scoreboard import Score
from servers import RESTWELL, ROOT, TLS, redis_server, restwell, serving
from shop_client import SUPPORT

RATE, SECONDS = 100, 60
TOO_MANY_REQUESTS = 429


@pytest.mark.scoreboard("L1", "4 processes, 100/min, clock skew", "100 ± 1 admitted; no doubling at a window's edge")
@pytest.mark.parametrize("path", ["/v1/products", "/v1/users/me"])
@pytest.mark.parametrize("nodes", [1, 2], ids=["one machine", "redis"])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_client_gets_its_rate_and_no_more(
    backend: str, nodes: int, path: str, tmp_path: Path, score: Score
) -> None:
    """Broken builds that were seen to fail: a count per process, and, with Redis, the clock of each process.

    ``/v1/products`` is cached and counted by the edge. ``/v1/users/me`` is counted by a guard; an allowed request gets
    401.
    """
    settings = {
        "DATABASE_URL": f"{backend}:///{tmp_path}/shop.db",
        "RESTWELL_APP": "clock_skew_app:project",
        "PYTHONPATH": str(SUPPORT),
        "RATE_LIMIT_SCALE": "1",
        "RATE_LIMIT_READS": f"{RATE}/{SECONDS}",
        "WORKERS": str(4 // nodes),
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=ROOT, **settings).check_returncode()
    async with AsyncExitStack() as stack:
        if nodes > 1:
            settings["REDIS_URL"] = stack.enter_context(redis_server()).url
        clients = []
        for number in range(nodes):
            (folder := tmp_path / str(number)).mkdir()
            served = await stack.enter_async_context(serving(folder, RESTWELL, "serve", cwd=ROOT, **settings))
            # The kernel assigns each connection to one process.
            clients += [httpx.AsyncClient(base_url=served.url, verify=TLS) for _ in range(8)]
        admitted, elapsed, began, most = 0, 0.0, time.monotonic(), score.size(4, SECONDS + 10)
        while (passed := time.monotonic() - began) < most:
            admitted += await _flood(clients, path)
            elapsed = time.monotonic() - began
            assert RATE + passed * RATE / SECONDS - 1 <= admitted <= RATE + elapsed * RATE / SECONDS + 1
            await asyncio.sleep(1)
        for client in clients:
            await client.aclose()
    refilled = elapsed * RATE / SECONDS
    score.note(f"{path}: {admitted} in {elapsed:.1f} s, {refilled:.0f} of them refilled")


async def _flood(clients: list[httpx.AsyncClient], path: str) -> int:
    """Send more requests than the rate allows, over all connections. Return how many were allowed."""

    async def ask(client: httpx.AsyncClient) -> int:
        responses = [await client.get(path) for _ in range(15)]
        return sum(response.status_code != TOO_MANY_REQUESTS for response in responses)

    return sum(await asyncio.gather(*map(ask, clients)))
