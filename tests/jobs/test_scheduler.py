"""Cron jobs are enqueued once for each scheduled time."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

import sample_jobs
from jobs_harness import JobsHarness
from restwell.jobs import _queries as queries
from restwell.jobs._store import JobStore


@pytest.mark.slow
async def test_several_schedulers_enqueue_one_job_for_each_scheduled_time(harness: JobsHarness) -> None:
    """Breaks without the compare-and-set of the cron run."""
    harness.known = [sample_jobs.every_second]
    async with (
        harness.worker([harness.database]),
        harness.worker([harness.database]),
        harness.worker([harness.database]),
    ):
        async with asyncio.timeout(20):
            while len(await harness.notes()) < 4:
                await asyncio.sleep(0.1)
    times = [datetime.fromisoformat(note) for note in await harness.notes()]
    assert [after - before for before, after in pairwise(times)] == [timedelta(seconds=1)] * (len(times) - 1)


@pytest.mark.slow
async def test_a_cron_run_stored_in_the_future_does_not_stop_its_job(harness: JobsHarness) -> None:
    """Seen to fail: the job did not run until that time, ten days later, without a log line."""
    harness.known = [sample_jobs.every_second]
    later = await JobStore(harness.database).now() + timedelta(days=10)
    await harness.database.run(queries.insert_cron_run, name="every_second", scheduled_at=later)
    with capture_logs() as logs:
        async with harness.worker([harness.database]):
            async with asyncio.timeout(20):
                while not await harness.notes():
                    await asyncio.sleep(0.1)
    assert [line["job"] for line in logs if line["event"] == "cron_last_run_in_future"] == ["every_second"]
