"""The cost of the operations page at three million jobs: ``python bench/job_operations.py``.

Measures what ``JobOperations`` reads, and every page of ``/ops`` with its sign-in check, on PostgreSQL and SQLite, with
a million jobs of each of three states: ready, scheduled and dead. Each value is the median of 20 calls in milliseconds,
of a page also the fastest: on a machine with other work, the median says more of that work.
``--jobs`` sets a smaller number.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "src"), str(ROOT / "shop/src"), str(ROOT / "shop/tests/support")]

import sample_jobs  # noqa: E402  # after the path is set
from many_jobs import add_jobs  # noqa: E402  # as above
from ops_app import FormBrowser, create_app, page_paths, seed  # noqa: E402  # as above
from process_tree import clean_up_at_exit  # noqa: E402  # as above
from restwell import App  # noqa: E402  # as above
from restwell.database import open_database  # noqa: E402  # as above
from restwell.jobs import BulkAction, JobFilter, JobOperations, JobState  # noqa: E402  # as above
from restwell.jobs._bulk_changes import BulkChanges  # noqa: E402  # as above
from restwell.settings import DatabaseSettings, JwtSettings, RateLimitSettings, Settings  # noqa: E402  # as above
from restwell.testing import running  # noqa: E402  # as above
from restwell.web import Feature  # noqa: E402  # as above
from results_file import save_result  # noqa: E402  # as above
from servers import postgres  # noqa: E402  # as above

STATES = (JobState.READY, JobState.SCHEDULED, JobState.DEAD)
CALLS = 20
PAGES = (
    *page_paths(create_app(Settings())),
    *(f"/ops/jobs/list?state={state}" for state in STATES),
    *(f"/ops/jobs/list?state={state}&name=rare" for state in STATES),
    "/ops/queries/query?name=jobs.finished&plan=true",
    "/metrics",
)


async def median_ms(call: Callable[[], Awaitable[Any]]) -> float:
    return round(statistics.median(await times_ms(call)), 2)


async def times_ms(call: Callable[[], Awaitable[Any]]) -> list[float]:
    await call()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        times.append((time.perf_counter() - began) * 1_000)
    return times


async def measure(url: str, count: int, folder: str) -> dict[str, Any]:
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(url)),
        jwt=JwtSettings(secret=SecretStr("a secret for a benchmark, which is long enough")),
        rate_limit=RateLimitSettings(scale=1_000),
        runtime_dir=Path(folder) / url.partition(":")[0],
    )
    app = create_app(settings, Feature(jobs=[sample_jobs.note]))
    async with open_database(url, 2) as database:
        await app.migrations.upgrade(database)
        await seed(database)
        for state in STATES:
            await add_jobs(database, state, 1, name="rare")
            await add_jobs(database, state, count - 1, first=2)
        if database.dialect == "postgresql":
            async with database.migration() as tx:
                for statement in ("COMMIT", "VACUUM ANALYZE", "BEGIN"):
                    await tx.run_script(statement)
    async with running(app) as client:
        pages = await measure_pages(FormBrowser(client))
        return {"pages": pages, "operations": await measure_operations(app)}


async def measure_pages(browser: FormBrowser) -> dict[str, dict[str, float]]:
    await browser.sign_in_with_form()
    found = {path: await times_ms(partial(browser.open, path)) for path in PAGES}
    return {
        path: {"fastest": round(min(times), 2), "median": round(statistics.median(times), 2)}
        for path, times in found.items()
    }


async def measure_operations(app: App) -> dict[str, float]:
    operations = app.service(JobOperations)
    results = {"queues": await median_ms(operations.queues)}
    for state in STATES:
        of_state, rare = JobFilter(state=state), JobFilter(state=state, name="rare")
        results[f"list of {state}"] = await median_ms(partial(operations.list_jobs, of_state, 50))
        results[f"list of {state}, by a rare name"] = await median_ms(partial(operations.list_jobs, rare, 50))
        results[f"count of {state}"] = await median_ms(partial(operations.count, rare))
    listed = await operations.list_jobs(JobFilter(state=JobState.DEAD), 50)
    results["one job"] = await median_ms(partial(operations.details, listed.items[0].id))
    job_id = await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.DEAD))
    began = time.perf_counter()
    await app.service(BulkChanges).run(job_id)
    results["retry of all dead jobs, seconds"] = round(time.perf_counter() - began, 1)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    clean_up_at_exit()
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        sqlite = asyncio.run(measure(f"sqlite:///{folder}/jobs.db", options.jobs, folder))
        print("sqlite", sqlite, flush=True)
        with postgres() as server:
            postgresql = asyncio.run(measure(server.url, options.jobs, folder))
        print("postgresql", postgresql, flush=True)
    if options.out is not None:
        save_result(options.out, __doc__, jobs_of_each_state=options.jobs, sqlite=sqlite, postgresql=postgresql)


if __name__ == "__main__":
    main()
