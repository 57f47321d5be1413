"""Two releases on one queue: a worker parks the jobs that it does not know."""

import asyncio
import re
from collections.abc import AsyncIterator
from random import Random
from string import ascii_letters
from typing import Any

import pytest
from sqlalchemy import Text, column, table, text, update
from structlog.testing import capture_logs

import sample_jobs
from jobs_harness import JobsHarness, add_effect, open_harness
from restwell.database import Database, Query, explain_queries, param, query
from restwell.jobs import Job, JobContext, JobState, job
from restwell.jobs import _queries as queries
from restwell.jobs._metrics import queue_metrics
from restwell.jobs._store import JobStore

damage = query("test.damage", update(table("jobs", column("arguments", Text))).values(arguments=param("arguments")))
lapse = query("test.lapse", text("UPDATE jobs SET lease_until = enqueued_at WHERE state = 'parked'"))


@job(name="note")
async def new_note(context: JobContext, text: str, language: str = "en") -> None:
    """The job of the new release: one more argument, with a default."""
    await context.get(Database).run(add_effect, job_id=context.job_id, note=f"{text} in {language}")


@job()
async def added(context: JobContext) -> None:
    await context.get(Database).run(add_effect, job_id=context.job_id, note="added")


@job()
async def other(context: JobContext, text: str) -> None:
    await context.get(Database).run(add_effect, job_id=context.job_id, note=text)


LONG = "".join(Random(1).choices(ascii_letters, k=8_000))  # noqa: S311  # not a secret

OLD: list[Job[..., Any]] = [sample_jobs.note, other]
NEW: list[Job[..., Any]] = [new_note, other, added]


@pytest.fixture
async def harness(empty_url: str) -> AsyncIterator[JobsHarness]:
    """The new release. Tests change ``known`` to switch the release."""
    async with open_harness(empty_url, NEW) as made:
        yield made


async def parked(harness: JobsHarness, count: int) -> None:
    await harness.wait_for_states(lambda states: states.count("parked") == count)


async def test_a_worker_of_the_old_release_parks_jobs_of_the_new_release(harness: JobsHarness) -> None:
    """Seen to fail: unknown arguments and names counted as failures, and the jobs were dead within half a minute."""
    argument = await harness.enqueue(new_note, text="a", language="de")
    default = await harness.enqueue(new_note, text="b")
    name = await harness.enqueue(added)
    await harness.enqueue(other, text="c")
    harness.known = OLD
    with capture_logs() as logs:
        async with harness.worker([harness.database], max_jobs=2) as old:
            await parked(harness, 3)
            await harness.wait_for_states(lambda states: sorted(states) == ["done", "parked", "parked", "parked"])
            assert not old.stopping.is_set()
    assert {one for line in logs if line["event"] == "jobs_parked" for one in line["requires"]} == {
        *("note(language)", "added")
    }
    for job_id, requires in ((argument, "note(language)"), (default, "note(language)"), (name, "added")):
        found = await harness.jobs.get(job_id)
        assert (found.state, found.attempts, found.requires) == ("parked", 0, requires)
        assert await harness.jobs.failures(job_id) == []
    assert {one.id for one in await harness.jobs.list_jobs(JobState.PARKED, 10)} == {argument, default, name}
    (count, *_) = queue_metrics(await harness.jobs.queue_stats(), {})
    assert [sample.value for sample in count.samples if sample.labels["state"] == "parked"] == [3]
    harness.known = NEW
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished() == ["done"] * 4
    assert await harness.notes() == ["a in de", "added", "b in en", "c"]
    assert {(await harness.jobs.get(one)).attempts for one in (argument, default, name)} == {1}


async def test_a_worker_of_the_new_release_runs_or_parks_jobs_of_the_old_release(harness: JobsHarness) -> None:
    """Breaks if a removed job counts as a failure."""
    harness.known = OLD
    harness.jobs = harness.queue(harness.database)
    await harness.enqueue(sample_jobs.note, text="a")
    removed: list[Job[..., Any]] = [added]
    harness.known = removed
    async with harness.worker([harness.database]):
        await parked(harness, 1)
    harness.known = NEW
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished() == ["done"]
    assert await harness.notes() == ["a in en"]


@pytest.mark.slow
async def test_workers_of_both_releases_run_side_by_side_and_lose_no_job(harness: JobsHarness) -> None:
    """Breaks if parked jobs become ready for any worker: the old one claims them each second and extends their 24 h."""
    async with harness.database.transaction() as tx:
        await harness.jobs.enqueue_many(tx, new_note, [{"text": f"{n:03}", "language": "fr"} for n in range(40)])
        await harness.jobs.enqueue_many(tx, other, [{"text": f"{n:03}"} for n in range(40)])
    harness.known = OLD
    async with harness.worker([harness.database]):
        await harness.wait_for_states(lambda states: sorted(states) == ["done"] * 40 + ["parked"] * 40)
        with capture_logs() as logs:
            await asyncio.sleep(2.5)  # the worker polls each second
        assert "jobs_parked" not in {line["event"] for line in logs}
        harness.known = NEW
        async with harness.worker([harness.database]):
            assert await harness.wait_until_finished() == ["done"] * 80
    assert len(set(await harness.notes())) == 80


@pytest.mark.slow
async def test_a_job_parked_for_a_day_is_dead_with_a_reason(harness: JobsHarness) -> None:
    """Breaks if only leases of running jobs expire: the job is parked forever."""
    job_id = await harness.enqueue(added)
    harness.known = OLD
    async with harness.worker([harness.database]):
        await parked(harness, 1)
        assert await JobStore(harness.database).expire() == []
        assert await JobStore(harness.database).unpark(["note", "note(text)"]) == []
        await harness.database.run(lapse)
        assert await harness.wait_until_finished() == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error == "no worker knew added within 86400 s"
    harness.known = NEW
    await harness.jobs.retry(job_id)
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished() == ["done"]


async def test_a_parked_job_keeps_its_unique_key_and_can_be_cancelled(harness: JobsHarness) -> None:
    """Breaks if ``parked`` does not count as unfinished."""
    keyed = added.with_options(unique_key="key")
    job_id = await harness.enqueue(keyed)
    harness.known = OLD
    async with harness.worker([harness.database]):
        await parked(harness, 1)
        assert await harness.enqueue(keyed) == job_id
        assert await harness.jobs.cancel(job_id)
    assert await JobStore(harness.database).unpark(["added"]) == []


@pytest.mark.parametrize(
    "arguments",
    ['{"text": 5}', '{"text": "a"', "[]", "null", "", "[" * 60_000, "{}", '{"text": NaN}'],
    ids=["of another type", "cut off", "a list", "null", "empty", "deep", "missing", "no JSON"],
)
async def test_a_job_with_unreadable_arguments_is_dead_without_a_retry(harness: JobsHarness, arguments: str) -> None:
    """Seen to fail: such a job was retried until its last attempt."""
    job_id = await harness.enqueue(other, text="a")
    await harness.database.run(damage, arguments=arguments)
    async with harness.worker([harness.database]):
        assert await harness.wait_until_finished(5) == ["dead"]
    (failure,) = await harness.jobs.failures(job_id)
    assert failure.error.startswith("UnreadableArguments: ")


@pytest.mark.parametrize(
    "name",
    [LONG, "a\\u0000b", "é\\ud83d\\ude00"],
    ids=["long", "NUL", "non-Latin"],
)
async def test_a_job_with_an_unknown_argument_is_parked_whatever_its_name(harness: JobsHarness, name: str) -> None:
    """Breaks without the limit and the escaping: PostgreSQL rejects long index keys, and NUL in text."""
    await harness.enqueue(other, text="a")
    stored = f'{{"text": "a", "{name}": 1}}'
    await harness.database.run(damage, arguments=stored)
    async with harness.worker([harness.database]):
        await parked(harness, 1)


async def test_parked_jobs_do_not_slow_the_others(harness: JobsHarness) -> None:
    """Breaks if the index of parked jobs lacks ``requires``, or if other indexes include parked jobs.

    Claims and maintenance then scan all parked jobs.
    """
    on_postgresql = harness.database.dialect == "postgresql"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    make_id = "gen_random_uuid()" if on_postgresql else "randomblob(16)"
    await harness.enqueue(other, text="a")
    columns = "name, queue, priority, arguments, attempts, max_attempts, fencing_token, isolated, run_at, enqueued_at"
    async with harness.database.transaction() as tx:
        await tx.run_script(
            f"INSERT INTO jobs (id, state, requires, lease_until, {columns})"  # constants
            f" SELECT {make_id}, 'parked', 'gone', run_at, {columns} FROM jobs, ({numbers}) AS s"
        )
        await tx.run_script("ANALYZE jobs")
    expected: dict[Query[Any], str] = {
        queries.claim: r"jobs_ready \(+queue",
        queries.parked_for_signatures: r"jobs_parked \(+requires",
        queries.unpark: r"jobs_parked \(+requires",
        queries.has_expired: r"jobs_leases \(+lease_until",
        queries.expire: r"jobs_leases \(+lease_until",
    }
    for plan, index in zip(await explain_queries(harness.database, expected), expected.values(), strict=True):
        assert re.search(index, plan.summary), plan
