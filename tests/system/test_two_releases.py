"""V1: two releases of an application share a queue, in separate processes."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import sample_jobs
from jobs_app import audit
from jobs_app.app import RELEASE
from jobs_app.audit import environment
from jobs_app.broken import VARIABLE, break_on_purpose
from jobs_harness import JobsHarness, open_harness
from restwell.database import Migrations
from scoreboard import Score
from servers import ROOT, SUPPORT, restwell, working


@pytest.fixture
async def harness(empty_url: str) -> AsyncIterator[JobsHarness]:
    """The new release, which enqueues."""
    if os.environ.get(VARIABLE):
        break_on_purpose()
    async with open_harness(empty_url, sample_jobs.NEXT_RELEASE, make=False, name="jobs_app") as made:
        await Migrations(SUPPORT / "jobs_app" / "migrations").upgrade(made.database)
        yield made


async def _enqueue(harness: JobsHarness, count: int) -> None:
    async with harness.database.transaction() as tx:
        await harness.jobs.enqueue_many(tx, sample_jobs.note_in, [{"text": "a", "language": "de"}] * count)
        await harness.jobs.enqueue_many(tx, sample_jobs.greet, [{}] * count)
        await harness.jobs.enqueue_many(tx, sample_jobs.note_once, [{"text": "old"}] * count)


@pytest.mark.scoreboard("V1", "two releases side by side: jobs, rolled forward and back", "0 dead jobs, each done once")
async def test_a_deployment_and_its_rollback_lose_no_job_v1(harness: JobsHarness, tmp_path: Path, score: Score) -> None:
    """BROKEN=no-parking: workers of the old release fail the jobs of the new release until they are dead."""
    count = score.size(10, 1_000)
    old: dict[str, Any] = environment(harness)
    new = environment(harness, **{RELEASE: "new"})
    before = JobsHarness(harness.url, harness.database, sample_jobs.ALL, None, harness.name)
    with working(tmp_path, "--concurrency=8", **old):
        await _enqueue(harness, count)
        await harness.wait_for_states(lambda states: Counter(states) == {"parked": 2 * count, "done": count}, 60)
        listed = restwell("jobs", "list", "--state=parked", cwd=ROOT, **old).stdout
        assert "no worker knows note(language)" in listed or "no worker knows greet" in listed
        assert f"{2 * count:,} parked in default" in listed
        with working(tmp_path, "--concurrency=8", **new):
            await audit.wait_until_finished(harness, 120)
            async with harness.database.transaction() as tx:  # an old server still runs
                await before.jobs.enqueue_many(tx, sample_jobs.note, [{"text": "b"}] * count)
            await audit.wait_until_finished(harness, 120)
        await _enqueue(harness, count)  # after the rollback
        await harness.wait_for_states(lambda states: states.count("parked") == 2 * count, 60)
    with working(tmp_path, "--concurrency=8", **new):
        found = await audit.wait_until_finished(harness, 120)
    assert found == {"done": 7 * count}
    notes = Counter(await harness.notes())
    assert (notes["a in de"], notes["hello"], notes["old"]) == (2 * count, 2 * count, 2 * count)
    assert notes["b"] + notes["b in en"] == count
    score.note(f"{7 * count:,} jobs, rolled forward, back and forward again: 0 dead, each done once")
