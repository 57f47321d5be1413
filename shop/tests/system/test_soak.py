"""S1: hours of mixed requests at 60% of the capacity use no more memory and no more files, and stay as fast."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from load import Load, LoadResult
from order_load import create_product, http_client, sign_in_customer
from processes import descendants_of
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serving, working

CONNECTIONS = 16
PART_OF_PEAK = 0.6
WINDOWS_OF_TOKEN = 12
"""Ten minutes; it is valid for fifteen. Each new one adds 5 kB to caches, which are far from their limits."""


class Processes(NamedTuple):
    """The API with its workers, and the worker of the jobs."""

    api: Served
    worker: Served

    def sample(self) -> tuple[float, int]:
        """The private memory in MB and the number of open files, of all processes together."""
        kilobytes = files = 0
        for parent in (self.api.process.pid, self.worker.process.pid):
            for pid in {parent, *descendants_of(parent)}:
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Private_Dirty:"):
                        kilobytes += int(line.split()[1])
                files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return kilobytes / 1_024, files


@pytest.fixture
async def running(tmp_path: Path, empty_url: str) -> AsyncIterator[Processes]:
    settings = {"DATABASE_URL": empty_url, "RESTWELL_APP": "shop.app:shop", "RATE_LIMIT_SCALE": "0", "WORKERS": "2"}
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    with ExitStack() as stack:
        worker = stack.enter_context(working(tmp_path, cwd=tmp_path, **settings))
        async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as api:
            yield Processes(api, worker)


def requests(product_id: str, token: str, names: Iterator[int]) -> Callable[[], bytes]:
    """Of ten requests, five read lists, two a product, one the own account, one is wrong, and one places an order."""
    body = json.dumps({"items": [{"product_id": product_id, "quantity": 1}]})
    own = f"Authorization: Bearer {token}\r\n"
    lists = [
        f"GET /v1/products?{query} HTTP/1.1\r\n"
        for query in ("", "category=toys", "q=lamp", "sort=price_cents", "limit=5")
    ]
    others = [
        f"GET /v1/products/{product_id} HTTP/1.1\r\n",
        f"GET /v1/products/{product_id}?fields=name HTTP/1.1\r\n",
        f"GET /v1/users/me HTTP/1.1\r\n{own}",
        "GET /v1/nowhere HTTP/1.1\r\n",
    ]
    reads = itertools.cycle(f"{each}Host: x\r\n\r\n".encode() for each in (*lists, *others))
    place = (
        f"POST /v1/orders HTTP/1.1\r\nHost: x\r\n{own}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )

    def following() -> bytes:
        number = next(names)
        if number % 10:
            return next(reads)
        return f"{place}Idempotency-Key: {number}\r\n\r\n{body}".encode()

    return following


async def waiting_jobs(client: httpx.AsyncClient) -> float:
    """The number of jobs that are ready or run, of all queues."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    samples = (sample for family in text_string_to_metric_families(response.text) for sample in family.samples)
    backlog = [each for each in samples if each.name == "restwell_jobs_backlog"]
    return sum(each.value for each in backlog if each.labels["state"] in {"ready", "running"})


def p99(results: list[LoadResult]) -> float:
    return sorted(each.seconds for each in results)[int(len(results) * 0.99)]


def slope(values: list[float]) -> float:
    """The median slope of all pairs, per step. Source: Theil-Sen estimator."""
    pairs = itertools.combinations(enumerate(values), 2)
    return median((later - earlier) / (at - before) for (before, earlier), (at, later) in pairs)


@pytest.mark.scoreboard(
    "S1", "30 minutes of mixed requests at 60%", "memory slope <= 1 MB/h; descriptors flat; p99 drift <= 10%"
)
async def test_memory_files_and_latency_stay_the_same_for_hours(running: Processes, score: Score) -> None:
    """Fails if each request leaves 6 kB, or each order an open file, behind.

    The capacity is what the API and the worker of the jobs do together: the peak lasts until no job waits.
    """
    windows, seconds = score.size((6, 1.0), (36, 50.0))
    names = itertools.count()
    product = await create_product(running.api)
    memory, files, latency = [], [], []
    statuses: Counter[int] = Counter()

    async def window(peak: float, token: str) -> list[LoadResult]:
        """Requests at a part of the peak; as fast as they are answered, if it is 0."""
        load = Load(int(running.api.url.rpartition(":")[2]), requests(product["id"], token, names))
        await load.connect(CONNECTIONS)
        try:
            if peak:
                results = await load.run(peak * PART_OF_PEAK, seconds)
            else:
                results = await load.run_closed(CONNECTIONS, score.size(1, 10))
            assert load.broken == 0
            return results
        finally:
            load.close()

    token = (await sign_in_customer(running.api))["access_token"]
    began = monotonic()
    answered = len(await window(0, token))
    async with http_client(running.api.url) as client:
        while await waiting_jobs(client):
            await asyncio.sleep(0.2)
    peak = answered / (monotonic() - began)
    for number in range(windows):
        if number % WINDOWS_OF_TOKEN == 0:
            token = (await sign_in_customer(running.api))["access_token"]
        results = await window(peak, token)
        async with http_client(running.api.url) as client:
            await waiting_jobs(client)
        statuses.update(each.status for each in results)
        latency.append(p99(results))
        used, opened = running.sample()
        memory.append(used)
        files.append(opened)
    settled = windows // 3
    per_hour = slope(memory[settled:]) * 3_600 / seconds
    drift = median(latency[-settled:]) / median(latency[settled:-settled]) - 1
    score.note(
        f"{next(names):,} requests at {peak * PART_OF_PEAK:.0f}/s for {windows * seconds / 60:.0f} minutes: memory"
        f" {memory[settled]:.1f} MB after a third, {memory[-1]:.1f} MB at the end, {per_hour:+.2f} MB/h; open files"
        f" {min(files[settled:])} to {max(files[settled:])}; p99 {median(latency) * 1e3:.1f} ms, drift {drift:+.0%};"
        f" {statuses[503]} x 503"
    )
    assert set(statuses) - {503} == {200, 201, 404}
    assert statuses[503] <= statuses.total() * score.size(0.2, 0.001), "rejected under overload"
    assert memory[-1] - memory[settled] <= score.size(8, 2)
    assert max(files[settled:]) - min(files[settled:]) <= CONNECTIONS
    if score.size(small=False, full=True):
        assert per_hour <= 1
        assert drift <= 0.1
