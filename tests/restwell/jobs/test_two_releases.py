"""Two releases on one queue: a job that a worker does not know is left, unharmed, for one that does."""

from collections.abc import AsyncIterator
from random import Random
from string import ascii_letters
from typing import Any

import pytest
from sqlalchemy import Text, column, table, text, update
from structlog.testing import capture_logs

import sample_jobs
from jobs_rig import Rig, add_effect, rig_on
from restwell.database import Database, Query, param, plans_of, query
from restwell.jobs import Job, JobState, JobStore, Run, backlog_metrics, job, queries

damage = query("test.damage", update(table("jobs", column("arguments", Text))).values(arguments=param("arguments")))
lapse = query("test.lapse", text("UPDATE jobs SET lease_until = enqueued_at WHERE state = 'parked'"))


@job(name="note")
async def new_note(run: Run, text: str, language: str = "en") -> None:
    """The next release's: one more argument, with a default."""
    await run.get(Database).run(add_effect, job_id=run.job_id, note=f"{text} in {language}")


@job()
async def added(run: Run) -> None:
    await run.get(Database).run(add_effect, job_id=run.job_id, note="added")


@job()
async def other(run: Run, text: str) -> None:
    await run.get(Database).run(add_effect, job_id=run.job_id, note=text)


LONG = "".join(Random(1).choices(ascii_letters, k=8_000))  # noqa: S311  # no secret

OLD: list[Job[..., Any]] = [sample_jobs.note, other]
NEW: list[Job[..., Any]] = [new_note, other, added]


@pytest.fixture
async def rig(empty_url: str) -> AsyncIterator[Rig]:
    """Of the new release, until its ``known`` is changed."""
    async with rig_on(empty_url, NEW) as made:
        yield made


async def parked(rig: Rig, count: int) -> None:
    await rig.until(lambda states: states.count("parked") == count)


async def test_an_old_worker_parks_a_job_that_only_the_new_release_knows(rig: Rig) -> None:
    """Seen to fail: each of these jobs was dead in half a minute: an added argument was a failure, and so was an unknown name."""
    argument = await rig.enqueue(new_note, text="a", language="de")
    default = await rig.enqueue(new_note, text="b")
    name = await rig.enqueue(added)
    await rig.enqueue(other, text="c")
    rig.known = OLD
    with capture_logs() as logs:
        async with rig.worker([rig.database], max_jobs=2) as old:
            await parked(rig, 3)
            await rig.until(lambda states: sorted(states) == ["done", "parked", "parked", "parked"])
            assert not old.stopping.is_set()
    assert {one for line in logs if line["event"] == "jobs_parked" for one in line["requires"]} == {
        *("note(language)", "added")
    }
    for job_id, requires in ((argument, "note(language)"), (default, "note(language)"), (name, "added")):
        found = await rig.jobs.get(job_id)
        assert (found.state, found.attempts, found.requires) == ("parked", 0, requires)
        assert await rig.jobs.failures(job_id) == []
    assert {one.id for one in await rig.jobs.list_jobs(JobState.PARKED, 10)} == {argument, default, name}
    (count, _) = backlog_metrics(await rig.jobs.backlog())
    assert [sample.value for sample in count.samples if sample.labels["state"] == "parked"] == [3]
    rig.known = NEW
    async with rig.worker([rig.database]):
        assert await rig.settled() == ["done"] * 4
    assert await rig.notes() == ["a in de", "added", "b in en", "c"]
    assert {(await rig.jobs.get(one)).attempts for one in (argument, default, name)} == {1}


async def test_a_new_worker_runs_or_parks_a_job_of_the_old_release(rig: Rig) -> None:
    """Breaks when a name that was taken out is a failure."""
    rig.known = OLD
    rig.jobs = rig.queue(rig.database)
    await rig.enqueue(sample_jobs.note, text="a")
    removed: list[Job[..., Any]] = [added]
    rig.known = removed
    async with rig.worker([rig.database]):
        await parked(rig, 1)
    rig.known = NEW
    async with rig.worker([rig.database]):
        assert await rig.settled() == ["done"]
    assert await rig.notes() == ["a in en"]


async def test_workers_of_both_releases_run_side_by_side_and_lose_no_job(rig: Rig) -> None:
    """Breaks when what is parked is given to whoever comes: the old worker takes it again and again, and 24 h begin anew."""
    async with rig.database.transaction() as tx:
        await rig.jobs.enqueue_many(tx, new_note, [{"text": f"{n:03}", "language": "fr"} for n in range(40)])
        await rig.jobs.enqueue_many(tx, other, [{"text": f"{n:03}"} for n in range(40)])
    rig.known = OLD
    async with rig.worker([rig.database]):
        rig.known = NEW
        async with rig.worker([rig.database]):
            assert await rig.settled() == ["done"] * 80
    assert len(set(await rig.notes())) == 80


async def test_a_job_parked_for_a_day_is_dead_and_says_why(rig: Rig) -> None:
    """Breaks when only the leases of running jobs end: it would be parked for ever."""
    job_id = await rig.enqueue(added)
    rig.known = OLD
    async with rig.worker([rig.database]):
        await parked(rig, 1)
        assert await JobStore(rig.database).expire() == []
        assert await JobStore(rig.database).unpark(["note", "note(text)"]) == []
        await rig.database.run(lapse)
        assert await rig.settled() == ["dead"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error == "no worker knew added in 86400 s"
    rig.known = NEW
    await rig.jobs.retry(job_id)
    async with rig.worker([rig.database]):
        assert await rig.settled() == ["done"]


async def test_a_parked_job_keeps_its_unique_key_and_can_be_cancelled(rig: Rig) -> None:
    """Breaks when parked is no unfinished state."""
    keyed = added.using(unique_key="key")
    job_id = await rig.enqueue(keyed)
    rig.known = OLD
    async with rig.worker([rig.database]):
        await parked(rig, 1)
        assert await rig.enqueue(keyed) == job_id
        assert await rig.jobs.cancel(job_id)
    assert await JobStore(rig.database).unpark(["added"]) == []


@pytest.mark.parametrize(
    "arguments",
    ['{"text": 5}', '{"text": "a"', "[]", "null", "", "[" * 60_000, "{}", '{"text": NaN}'],
    ids=["of another type", "cut off", "a list", "null", "empty", "deep", "missing", "no JSON"],
)
async def test_a_job_with_unreadable_arguments_is_dead_at_once(rig: Rig, arguments: str) -> None:
    """Seen to fail: such a job was retried as often as any other."""
    job_id = await rig.enqueue(other, text="a")
    await rig.database.run(damage, arguments=arguments)
    async with rig.worker([rig.database]):
        assert await rig.settled(5) == ["dead"]
    (failure,) = await rig.jobs.failures(job_id)
    assert failure.error.startswith("UnreadableArguments: ")


@pytest.mark.parametrize(
    "name",
    [LONG, "a\\u0000b", "é\\ud83d\\ude00"],
    ids=["long", "the character zero", "beyond Latin"],
)
async def test_a_job_with_an_unknown_argument_of_any_name_is_parked(rig: Rig, name: str) -> None:
    """Breaks without a limit: PostgreSQL has no place in an index for what it cannot compress, nor for the character zero in a text."""
    await rig.enqueue(other, text="a")
    stored = f'{{"text": "a", "{name}": 1}}'
    await rig.database.run(damage, arguments=stored)
    async with rig.worker([rig.database]):
        await parked(rig, 1)


async def test_parked_jobs_do_not_slow_the_others(rig: Rig) -> None:
    """Breaks without an index of its own for each: a claim, or what a worker asks each second, reads through all of them."""
    on_postgresql = rig.database.dialect == "postgresql"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    make_id = "gen_random_uuid()" if on_postgresql else "randomblob(16)"
    await rig.enqueue(other, text="a")
    columns = "name, queue, priority, arguments, attempts, max_attempts, fence, alone, run_at, enqueued_at"
    async with rig.database.transaction() as tx:
        await tx.run_script(
            f"INSERT INTO jobs (id, state, requires, lease_until, {columns})"  # constants
            f" SELECT {make_id}, 'parked', 'gone', run_at, {columns} FROM jobs, ({numbers}) AS s"
        )
        await tx.run_script("ANALYZE jobs")
    expected: dict[Query[Any], str] = {
        queries.claim: "jobs_ready",
        queries.parked_known: "jobs_parked",
        queries.unpark: "jobs_parked",
        queries.is_any_expired: "jobs_leases",
        queries.expire: "jobs_leases",
    }
    for plan, index in zip(await plans_of(rig.database, expected), expected.values(), strict=True):
        assert index in plan.summary, plan
