"""L1: one client has its rate, however many processes, machines and clocks there are."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from scoreboard import Score
from servers import RESTWELL, ROOT, SUPPORT, redis_server, restwell, serving

RATE, SECONDS = 100, 60
REFUSED = 429
_TLS = httpx.create_ssl_context()


@pytest.mark.scoreboard("L1", "4 processes, 100/min, clock skew", "100 ± 1 admitted; no doubling at a window's edge")
@pytest.mark.parametrize("path", ["/v1/products", "/v1/users/me"])
@pytest.mark.parametrize("nodes", [1, 2], ids=["one machine", "redis"])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_client_gets_its_rate_and_no_more(
    backend: str, nodes: int, path: str, tmp_path: Path, score: Score
) -> None:
    """Broken builds that were seen to fail: a count in each process, and with Redis, by each process' own clock.

    ``/v1/products`` is kept and answered by the edge, ``/v1/users/me`` counts in a guard, and says 401 to whoever it admits.
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
            # The kernel gives each connection to one of the processes.
            clients += [httpx.AsyncClient(base_url=served.url, verify=_TLS) for _ in range(8)]
        admitted, elapsed, began, most = 0, 0.0, time.monotonic(), score.size(4, SECONDS + 10)
        while (passed := time.monotonic() - began) < most:
            admitted += await _flood(clients, path)
            elapsed = time.monotonic() - began
            assert RATE + passed * RATE / SECONDS - 1 <= admitted <= RATE + elapsed * RATE / SECONDS + 1
            await asyncio.sleep(1)
        for client in clients:
            await client.aclose()
    back = elapsed * RATE / SECONDS
    score.note(f"{path}: {admitted} in {elapsed:.1f} s, of which {back:.0f} had come back meanwhile")


async def _flood(clients: list[httpx.AsyncClient], path: str) -> int:
    """Far more than is admitted, over all connections at once; how many were."""

    async def ask(client: httpx.AsyncClient) -> int:
        answers = [await client.get(path) for _ in range(15)]
        return sum(answer.status_code != REFUSED for answer in answers)

    return sum(await asyncio.gather(*map(ask, clients)))
