"""What operators see and do: lists with filters, bounded counts, paused queues, cron jobs, and races with workers."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

import sample_jobs
from jobs_harness import JobsHarness
from many_jobs import add_jobs
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.jobs import (
    ActionImpossible,
    BulkAction,
    JobFilter,
    JobNotDead,
    JobOperations,
    JobState,
    QueueNotPausable,
    UnknownQueue,
)
from restwell.jobs import _operation_queries as queries
from restwell.jobs._bulk_changes import BulkChanges, change_jobs
from restwell.jobs._metrics import queue_metrics
from restwell.jobs._store import JobStore

WINDOW = queries.WINDOW
DEAD = JobFilter(state=JobState.DEAD)


@pytest.fixture
def operations(harness: JobsHarness) -> JobOperations:
    harness.jobs.register([change_jobs])
    return JobOperations(harness.database, harness.jobs, BulkChanges(harness.database, harness.jobs))


async def ids_of_all_pages(operations: JobOperations, filters: JobFilter, count: int) -> tuple[list[UUID], int]:
    """The ids on all pages, and the number of pages."""
    ids: list[UUID] = []
    pages, before = 0, None
    while pages == 0 or before is not None:
        page = await operations.list_jobs(filters, count, before)
        ids += [each.id for each in page.items]
        pages, before = pages + 1, page.next
    return ids, pages


@pytest.mark.parametrize("state", ["scheduled", "ready", "running", "parked", "done", "dead", "cancelled"])
async def test_jobs_of_each_state_are_listed_page_by_page_newest_first(
    harness: JobsHarness, operations: JobOperations, state: str
) -> None:
    """Breaks when the position lacks the id: all jobs of one transaction have the same time."""
    await add_jobs(harness.database, state, 7)
    await add_jobs(harness.database, state, 3, queue="mail", name="send", first=100)
    await add_jobs(harness.database, "dead" if state != "dead" else "done", 2, first=200)
    ids, pages = await ids_of_all_pages(operations, JobFilter(state=JobState(state)), 3)
    assert (len(ids), len(set(ids)), pages) == (10, 10, 4)
    assert ids == sorted(ids, reverse=True)
    for filters in ({"queue": "mail"}, {"name": "send"}, {"queue": "mail", "name": "send"}):
        found, _ = await ids_of_all_pages(operations, JobFilter(state=JobState(state), **filters), 2)
        assert found == ids[:3]
    assert await ids_of_all_pages(operations, JobFilter(state=JobState(state), queue="none"), 2) == ([], 1)


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.DEAD])
async def test_a_list_examines_a_bounded_number_of_jobs_and_continues_on_its_next_page(
    harness: JobsHarness, operations: JobOperations, state: JobState
) -> None:
    """Breaks when a page ends the list because it has no job that matches."""
    await add_jobs(harness.database, state, 1, name="rare")
    await add_jobs(harness.database, state, WINDOW + 5, first=2)
    rare = JobFilter(state=state, name="rare")
    first = await operations.list_jobs(rare, 20)
    assert first.items == []
    assert first.next is not None
    assert [each.name for each in (await operations.list_jobs(rare, 20, first.next)).items] == ["rare"]
    assert (await operations.count(rare)).count == 0
    counted = await operations.count(JobFilter(state=state))
    assert (counted.count, counted.at_least) == (WINDOW, True)


async def test_queues_are_counted_up_to_a_bound_with_the_age_of_their_oldest_ready_job(
    harness: JobsHarness, operations: JobOperations
) -> None:
    """Breaks when the age is that of the next job: one of a low priority would starve unnoticed."""
    await add_jobs(harness.database, "ready", WINDOW + 5, queue="images")
    await add_jobs(harness.database, "scheduled", WINDOW + 5, queue="mail")
    await harness.enqueue(sample_jobs.note.with_options(priority=-1, queue="images"), text="starves")
    await harness.enqueue(sample_jobs.note, text="a")
    hour = "interval '1 hour'" if harness.database.dialect == "postgresql" else "3600000000"
    async with harness.database.transaction() as tx:
        await tx.run_script(f"UPDATE jobs SET run_at = run_at - {hour} WHERE priority = -1")
    found = {each.name: each for each in await operations.queues()}
    assert set(found) == {"default", "images", "mail", "restwell"}
    counts = {(name, each.state): (each.count, each.at_least) for name in found for each in found[name].counts.values()}
    assert counts == {
        ("default", "ready"): (1, False),
        ("images", "ready"): (WINDOW, True),
        ("mail", "scheduled"): (WINDOW, True),
    }
    assert 3_600 <= (found["images"].oldest_ready_seconds or 0) < 3_700
    assert 0 <= (found["default"].oldest_ready_seconds or 0) < 60
    assert found["mail"].oldest_ready_seconds is None


@pytest.mark.slow
async def test_workers_start_no_job_of_a_paused_queue_until_it_is_resumed(
    harness: JobsHarness, operations: JobOperations
) -> None:
    """Breaks when a claim does not read the paused queues, and when ``has_ready`` alone does."""
    assert await operations.pause("default")
    assert not await operations.pause("default")
    await harness.enqueue(sample_jobs.note, text="waits")
    harness.known = [*harness.known, sample_jobs.greet]
    options: Any = {"queues": ("default", "mail")}
    async with (
        harness.worker([harness.database], **options),
        harness.worker([harness.database], **options),
    ):
        await harness.enqueue(sample_jobs.note.with_options(queue="mail"), text="runs")
        await harness.enqueue(sample_jobs.note.with_options(delay_seconds=0.01), text="is delayed")
        await harness.wait_for_states(lambda states: sorted(states) == ["done", "ready", "ready"])
        await asyncio.sleep(0.2)
        assert await harness.notes() == ["runs"]
        (status,) = (each for each in await operations.queues() if each.paused_at is not None)
        assert (status.name, status.counts["ready"].count) == ("default", 2)
        *_, paused = queue_metrics([], {"default": True})
        assert [(sample.labels, sample.value) for sample in paused.samples] == [({"queue": "default"}, 1.0)]
        assert await operations.resume("default")
        assert not await operations.resume("default")
        assert await harness.wait_until_finished() == ["done"] * 3


async def test_a_claim_takes_no_job_of_a_queue_that_is_paused_after_it_was_found_ready(
    harness: JobsHarness, operations: JobOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when only ``has_ready`` reads the paused queues: SQLite claims in a second statement."""
    await harness.enqueue(sample_jobs.note, text="waits")
    store, real = JobStore(harness.database), harness.database.find

    async def pause_then(*args: Any, **arguments: Any) -> Any:
        found: Any = await real(*args, **arguments)
        monkeypatch.setattr(harness.database, "find", real)
        await operations.pause("default")
        return found

    if harness.database.dialect == "sqlite":
        monkeypatch.setattr(harness.database, "find", pause_then)
    else:
        await operations.pause("default")
    assert await store.claim(["default"], 5, "worker") == []


async def test_a_queue_that_no_job_uses_and_that_of_operations_cannot_be_paused(operations: JobOperations) -> None:
    with pytest.raises(UnknownQueue, match=r"No job uses the queue mial\. The queues are default, restwell"):
        await operations.pause("mial")
    with pytest.raises(UnknownQueue):
        await operations.resume("mial")
    with pytest.raises(QueueNotPausable):
        await operations.pause("restwell")


async def test_a_running_job_cannot_be_retried_and_completes(harness: JobsHarness) -> None:
    """Breaks when a retry does not require a final state: the job would run twice at the same time."""
    job_id = await harness.enqueue(sample_jobs.note, text="a")
    store = JobStore(harness.database)
    (claimed,) = await store.claim(["default"], 1, "worker")
    with pytest.raises(JobNotDead):
        await harness.jobs.retry(job_id)
    assert await store.complete([(claimed, None)]) == {job_id}
    with pytest.raises(JobNotDead):
        await harness.jobs.retry(job_id)


async def test_of_a_cancellation_and_a_completion_at_the_same_time_one_succeeds(harness: JobsHarness) -> None:
    """Breaks without the state in the condition of the cancellation, and without that of the completion."""
    store, outcomes = JobStore(harness.database), set()
    async with harness.database.transaction() as tx:
        ids = await harness.jobs.enqueue_many(tx, sample_jobs.note, [{"text": "a"}] * 20)
    claimed = {each.id: each for each in await store.claim(["default"], 20, "worker")}
    for number, job_id in enumerate(ids):
        both = [harness.jobs.cancel(job_id), store.complete([(claimed[job_id], None)])]
        results = await asyncio.gather(*(both if number % 2 else reversed(both)))
        cancelled, completed = results if number % 2 else reversed(results)
        assert bool(cancelled) != bool(completed)
        outcomes.add((await harness.jobs.get(job_id)).state == ("cancelled" if cancelled else "done"))
    assert outcomes == {True}


async def test_the_attempt_of_a_job_that_was_cancelled_and_retried_cannot_complete_it(harness: JobsHarness) -> None:
    """Breaks when a claim keeps the fencing token."""
    job_id = await harness.enqueue(sample_jobs.note, text="a")
    store = JobStore(harness.database)
    (first,) = await store.claim(["default"], 1, "first")
    assert await harness.jobs.cancel(job_id)
    await harness.jobs.retry(job_id)
    (second,) = await store.claim(["default"], 1, "second")
    assert await store.complete([(first, None)]) == set()
    assert await store.extend({job_id: first.fencing_token}) == set()
    assert await store.complete([(second, None)]) == {job_id}


async def test_details_and_errors_have_no_secrets(harness: JobsHarness, operations: JobOperations) -> None:
    """Breaks when errors are not searched for the values of secret arguments."""
    secret = replace(sample_jobs.note, secret_arguments=frozenset({"text"}))
    harness.jobs.registered["note"] = secret
    job_id = await harness.enqueue(secret.with_options(max_attempts=1), text="hunter22")
    store = JobStore(harness.database)
    (claimed,) = await store.claim(["default"], 1, "worker")
    await store.fail(claimed, "ValueError: not hunter22", "raise ValueError('hunter22')", 0, permanent=True)
    details = await operations.details(job_id)
    assert details.job.arguments == '{"text":"[redacted]"}'
    assert [(each.error, each.traceback) for each in details.failures] == [
        ("ValueError: not [redacted]", "raise ValueError('[redacted]')")
    ]
    listed = await operations.list_jobs(DEAD, 5)
    assert await operations.last_errors(listed.items) == {job_id: "ValueError: not [redacted]"}
    assert await operations.last_errors([]) == {}
    with pytest.raises(NotFound):
        await operations.details(new_id())


@pytest.mark.slow
async def test_cron_jobs_have_their_last_and_next_time_and_the_job_of_the_last(
    harness: JobsHarness, operations: JobOperations
) -> None:
    harness.jobs.register([sample_jobs.every_second])
    (new,) = await operations.cron_jobs()
    assert (new.name, new.expression, new.timezone, new.last_at, new.job_id, new.state) == (
        "every_second", "* * * * * *", "UTC", None, None, None,
    )  # fmt: skip
    harness.known = [*harness.known, sample_jobs.every_second]
    async with harness.worker([harness.database]):
        await harness.wait_for_states(lambda states: "done" in states)
    (ran,) = await operations.cron_jobs()
    assert ran.last_at is not None
    assert timedelta() < ran.next_at - ran.last_at
    assert ran.job_id is not None
    assert (await harness.jobs.get(ran.job_id)).name == "every_second"
    assert ran.state in {"done", "ready", "running"}
    await harness.jobs.cancel(ran.job_id)
    await harness.jobs.discard(ran.job_id)
    (gone,) = await operations.cron_jobs()
    assert (gone.job_id, gone.state) == (ran.job_id, None)


async def test_an_action_that_does_not_fit_the_state_is_an_error(operations: JobOperations) -> None:
    with pytest.raises(ActionImpossible, match="retry changes jobs that are dead, cancelled; these are ready"):
        await operations.change_all(BulkAction.RETRY, JobFilter(state=JobState.READY))
