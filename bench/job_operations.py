"""The cost of the lists and counts of jobs at a million jobs: ``python bench/job_operations.py``.

Measures what the operations page and ``restwell jobs`` read, on PostgreSQL and SQLite, with a million jobs of each of
three states: ready, scheduled and dead. Each value is the median of 20 calls. ``--jobs`` sets a smaller number.
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

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "src"), str(ROOT / "shop/src"), str(ROOT / "shop/tests/support")]

import sample_jobs  # noqa: E402
from jobs_harness import JobsHarness, make_tables, open_harness  # noqa: E402  # after the path is set
from many_jobs import add_jobs  # noqa: E402  # as above
from restwell.database import open_database  # noqa: E402
from restwell.jobs import BulkAction, JobFilter, JobOperations, JobState  # noqa: E402
from restwell.jobs._bulk_changes import BulkChanges, change_jobs  # noqa: E402  # as above
from results_file import save_result  # noqa: E402  # as above
from servers import postgres  # noqa: E402

STATES = (JobState.READY, JobState.SCHEDULED, JobState.DEAD)
CALLS = 20


async def median_ms(call: Callable[[], Awaitable[Any]]) -> float:
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds) * 1_000, 2)


async def measure(url: str, count: int) -> dict[str, Any]:
    async with open_database(url, 2) as database:
        await make_tables(database)
        for state in STATES:
            await add_jobs(database, state, 1, name="rare")
            await add_jobs(database, state, count - 1, first=2)
        if database.dialect == "postgresql":
            async with database.migration() as tx:
                for statement in ("COMMIT", "VACUUM ANALYZE", "BEGIN"):
                    await tx.run_script(statement)
    async with open_harness(url, [*sample_jobs.ALL, change_jobs], make=False) as harness:
        return await measure_operations(harness)


async def measure_operations(harness: JobsHarness) -> dict[str, Any]:
    changes = BulkChanges(harness.database, harness.jobs)
    operations = JobOperations(harness.database, harness.jobs, changes)
    results: dict[str, Any] = {"queues": await median_ms(operations.queues)}
    for state in STATES:
        of_state, rare = JobFilter(state=state), JobFilter(state=state, name="rare")
        results[f"list of {state}"] = await median_ms(partial(operations.list_jobs, of_state, 50))
        results[f"list of {state}, by a rare name"] = await median_ms(partial(operations.list_jobs, rare, 50))
        results[f"count of {state}"] = await median_ms(partial(operations.count, rare))
    listed = await operations.list_jobs(JobFilter(state=JobState.DEAD), 50)
    results["one job"] = await median_ms(lambda: operations.details(listed.items[0].id))
    results["last errors of a page"] = await median_ms(lambda: operations.last_errors(listed.items))
    job_id = await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.DEAD))
    began = time.perf_counter()
    await changes.run(job_id)
    results["retry of all dead jobs, seconds"] = round(time.perf_counter() - began, 1)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        sqlite = asyncio.run(measure(f"sqlite:///{folder}/jobs.db", options.jobs))
    print("sqlite", sqlite, flush=True)
    with postgres() as server:
        postgresql = asyncio.run(measure(server.url, options.jobs))
    print("postgresql", postgresql, flush=True)
    if options.out is not None:
        save_result(options.out, __doc__, jobs_of_each_state=options.jobs, sqlite=sqlite, postgresql=postgresql)


if __name__ == "__main__":
    main()
