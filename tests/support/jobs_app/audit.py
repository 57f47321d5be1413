"""Helpers of the fault tests: they kill workers, and verify the jobs in the database."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

import sample_jobs
from jobs_harness import JobsHarness, effects
from processes import children_of
from restwell.database import query
from restwell.jobs import JobState
from restwell.jobs._tables import failures, jobs
from servers import SUPPORT, Served

running = query(
    "harness.running", select(jobs.c.id, jobs.c.attempts).where(jobs.c.state == "running").limit(1_000), into=dict
)
states = query(
    "harness.counts", select(jobs.c.state, func.count().label("n")).group_by(jobs.c.state).limit(10), into=dict
)
done = query(
    "harness.done",
    select(jobs.c.enqueued_at, jobs.c.started_at, jobs.c.finished_at)
    .where(jobs.c.state == "done", jobs.c.name == "slow_effect")
    .limit(100_000),
    into=dict,
)
cron_effects = query(
    "harness.cron_effects",
    select(jobs.c.name, effects.c.note)
    .join(effects, effects.c.job_id == jobs.c.id)
    .order_by(effects.c.note)
    .limit(10_000),
    into=dict,
)
errors = query("harness.errors", select(failures.c.error).order_by("error").limit(100_000), into=str)
expire_parked = query(
    "harness.expire_parked", jobs.update().where(jobs.c.state == "parked").values(lease_until=jobs.c.enqueued_at)
)
expire_leases = query(
    "harness.expire_leases", jobs.update().where(jobs.c.state == "running").values(lease_until=jobs.c.enqueued_at)
)


def environment(harness: JobsHarness, **more: str) -> dict[str, Any]:
    return {
        "RESTWELL_APP": "jobs_app.app:project",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": harness.url,
        "JOBS_URL": harness.broker_url or "",
        "LOG_FORMAT": "json",
        **more,
    }


async def enqueue_slow_effects(
    harness: JobsHarness, count: int, seconds: float, start: int = 0, effect_at: float = 0.5
) -> list[UUID]:
    """Enqueue ``count`` jobs that take ``seconds``, and insert their number after the share ``effect_at`` of it."""
    async with harness.database.transaction() as tx:
        given = {"seconds": seconds, "effect_at": effect_at}
        arguments = [{"number": number, **given} for number in range(start, start + count)]
        return await harness.jobs.enqueue_many(tx, sample_jobs.slow_effect, arguments)


async def counts(harness: JobsHarness) -> dict[str, int]:
    return {row["state"]: row["n"] for row in await harness.database.all(states)}


async def wait_until_finished(harness: JobsHarness, seconds: float) -> dict[str, int]:
    """Wait until every job has finished. Returns the number of jobs by state."""
    async with asyncio.timeout(seconds):
        while {"ready", "running", "scheduled", "parked"} & (found := await counts(harness)).keys():
            await asyncio.sleep(0.1)
    return found


async def assert_each_took_effect_once(harness: JobsHarness, count: int) -> None:
    found, noted = await counts(harness), Counter(await harness.notes())
    expected = Counter(f"{number:06}" for number in range(count))
    assert noted == expected, f"too often: {noted - expected}, missing: {expected - noted}"
    assert found == {"done": count}, found


async def running_jobs(harness: JobsHarness) -> list[dict[str, Any]]:
    """Wait for running jobs, and return them."""
    async with asyncio.timeout(60):
        while not (found := await harness.database.all(running)):
            await asyncio.sleep(0.05)
    return found


async def kill_worker(harness: JobsHarness, served: Served, *, after_effect: bool = False) -> float:
    """Kill the worker at a random moment while it runs jobs, or as soon as a job has taken effect.

    Returns the seconds until the interrupted jobs were started again.
    """
    interrupted = await running_jobs(harness)
    if after_effect:
        before = len(await harness.notes())
        async with asyncio.timeout(60):
            while len(await harness.notes()) == before:
                await asyncio.sleep(0.01)
    else:
        await asyncio.sleep(random.uniform(0, 1))  # noqa: S311  # not a secret
        interrupted = await running_jobs(harness)
    began = time.monotonic()
    for process in children_of(served.process.pid):
        os.kill(process, signal.SIGKILL)
    await wait_until_resumed(harness, interrupted)
    return time.monotonic() - began


async def wait_until_resumed(harness: JobsHarness, interrupted: list[dict[str, Any]]) -> None:
    """Wait until each of these jobs was started again, or is done."""
    async with asyncio.timeout(90):
        for one in interrupted:
            while True:
                found = await harness.jobs.get(one["id"])
                if found.state == JobState.DONE or found.attempts > one["attempts"]:
                    break
                await asyncio.sleep(0.05)


async def failure_reasons(harness: JobsHarness) -> Counter[str]:
    """The errors of failed attempts, up to the first colon, with their number."""
    return Counter(error.partition(":")[0] for error in await harness.database.all(errors))


async def cron_times(harness: JobsHarness) -> dict[str, list[datetime]]:
    """The scheduled times of the cron jobs that ran, by name, oldest first."""
    found: dict[str, list[datetime]] = {}
    for row in await harness.database.all(cron_effects):
        found.setdefault(row["name"], []).append(datetime.fromisoformat(row["note"]))
    return found


async def latency_percentile(harness: JobsHarness, share: float) -> float:
    """The percentile ``share`` of the seconds from enqueueing to completion."""
    seconds: list[float] = sorted(
        (row["finished_at"] - row["enqueued_at"]).total_seconds() for row in await harness.database.all(done)
    )
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))]
