"""V1: two releases of an application beside each other on one queue, as processes of their own."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import sample_jobs
from jobs_rig import Rig, rig_on
from labour import audit
from labour.app import RELEASE
from labour.audit import environment
from labour.broken import VARIABLE, break_on_purpose
from restwell.database import Migrations
from scoreboard import Score
from servers import ROOT, SUPPORT, restwell, working


@pytest.fixture
async def rig(empty_url: str) -> AsyncIterator[Rig]:
    """Of the new release, which enqueues."""
    if os.environ.get(VARIABLE):
        break_on_purpose()
    async with rig_on(empty_url, sample_jobs.NEXT_RELEASE, make=False, name="labour") as made:
        await Migrations(SUPPORT / "labour" / "migrations").upgrade(made.database)
        yield made


async def _enqueue(rig: Rig, count: int) -> None:
    async with rig.database.transaction() as tx:
        await rig.jobs.enqueue_many(tx, sample_jobs.note_in, [{"text": "a", "language": "de"}] * count)
        await rig.jobs.enqueue_many(tx, sample_jobs.greet, [{}] * count)
        await rig.jobs.enqueue_many(tx, sample_jobs.note_once, [{"text": "old"}] * count)


@pytest.mark.scoreboard("V1", "two releases side by side: jobs, rolled forward and back", "0 dead jobs, each done once")
async def test_a_deployment_and_its_rollback_lose_no_job_v1(rig: Rig, tmp_path: Path, score: Score) -> None:
    """BROKEN=no-parking: the old release's workers make an end of the new one's jobs."""
    count = score.size(10, 1_000)
    old: dict[str, Any] = environment(rig)
    new = environment(rig, **{RELEASE: "new"})
    before = Rig(rig.url, rig.database, sample_jobs.ALL, None, rig.name)
    with working(tmp_path, "--concurrency=8", **old):
        await _enqueue(rig, count)
        await rig.until(lambda states: Counter(states) == {"parked": 2 * count, "done": count}, 60)
        listed = restwell("jobs", "list", "--state=parked", cwd=ROOT, **old).stdout
        assert "no worker that took it knows note(language)" in listed or "no worker that took it knows greet" in listed
        assert f"{2 * count:,} parked in default" in listed
        with working(tmp_path, "--concurrency=8", **new):
            await audit.settled(rig, 120)
            async with rig.database.transaction() as tx:  # of an old server, which serves still
                await before.jobs.enqueue_many(tx, sample_jobs.note, [{"text": "b"}] * count)
            await audit.settled(rig, 120)
        await _enqueue(rig, count)  # rolled back
        await rig.until(lambda states: states.count("parked") == 2 * count, 60)
    with working(tmp_path, "--concurrency=8", **new):
        found = await audit.settled(rig, 120)
    assert found == {"done": 7 * count}
    notes = Counter(await rig.notes())
    assert (notes["a in de"], notes["hello"], notes["old"]) == (2 * count, 2 * count, 2 * count)
    assert notes["b"] + notes["b in en"] == count
    score.note(f"{7 * count:,} jobs, rolled forward, back and forward again: 0 dead, each done once")
