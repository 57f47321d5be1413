"""The test client starts the production app and reports a failed startup, and jobs run in the process of the test."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from time_machine import TimeMachineFixture

from restwell.database import Migrations, open_database
from restwell.jobs import JobContext, JobOperations, JobState, job
from restwell.jobs._bulk_changes import BulkChanges
from restwell.settings import DatabaseSettings, Settings
from restwell.testing import ApiClient, finish_jobs, running
from tiny.app import MIGRATIONS, add_reminder, create_app


async def test_a_failed_startup_raises_its_reason(tiny_settings: Settings) -> None:
    database = DatabaseSettings(url=SecretStr("sqlite:////proc/none/x.db"))
    settings = tiny_settings.model_copy(update={"database": database})
    with pytest.raises(RuntimeError, match=r"(?s)startup failed: .*cannot open /proc/none/x\.db"):
        async with running(create_app(settings)):
            pass


async def test_the_jobs_of_requests_are_finished_on_demand(migrated: Settings) -> None:
    """Breaks when a retried request enqueues its job twice, and when the commit of the job invalidates no page."""
    app = create_app(migrated)
    async with running(app) as client:
        owner = ApiClient(client, "owner")
        for _ in range(2):
            answer = await owner.send("POST", "/v1/reminders", {"text": "later"}, idempotency_key="k")
            assert answer.status_code == 202
        assert (await client.get("/v1/notes")).json() == {"items": []}
        await finish_jobs(app)
        assert (await client.get("/v1/notes")).json() == {"items": [{"id": 1, "text": "later"}]}


async def test_a_job_for_later_runs_when_the_clock_has_moved(
    migrated: Settings, time_machine: TimeMachineFixture
) -> None:
    """Fails if only the clock of the database says which jobs are due."""
    app = create_app(migrated)
    async with running(app):
        job_id = await app.kit.jobs.enqueue(
            app.kit.database, add_reminder.with_options(delay_seconds=86_400), text="tomorrow"
        )
        await finish_jobs(app)
        assert (await app.kit.jobs.get(job_id)).state == JobState.SCHEDULED
        time_machine.move_to(datetime.now(UTC) + timedelta(days=1, seconds=1))
        await finish_jobs(app)
        assert (await app.kit.jobs.get(job_id)).state == JobState.DONE


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_job_that_ends_while_it_is_looked_for_leaves_no_other_one(
    tiny_settings: Settings, empty_url: str
) -> None:
    """Fails if ready and running jobs are counted one after the other: one ends, and its follower is in neither."""
    settings = tiny_settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(empty_url))})
    async with open_database(empty_url) as database:
        await Migrations(MIGRATIONS).upgrade(database)
    app = create_app(settings)
    done: list[int] = []

    @job()
    async def step(_context: JobContext, left: int) -> None:
        done.append(left)
        if left:
            await app.kit.jobs.enqueue(app.kit.database, step, left=left - 1)

    app.kit.jobs.register([step])
    async with running(app):
        await app.kit.jobs.enqueue(app.kit.database, step, left=300)
        await finish_jobs(app)
        assert done[-1] == 0


async def test_jobs_that_wait_and_their_followers_are_finished_and_a_paused_queue_is_left(migrated: Settings) -> None:
    """Fails if jobs that are ready or running are not waited for; and if a paused queue is, until the time is over."""
    app = create_app(migrated)
    done: list[int] = []

    @job()
    async def step(_context: JobContext, left: int) -> None:
        await asyncio.sleep(0.2)
        done.append(left)
        if left:
            await app.kit.jobs.enqueue(app.kit.database, step, left=left - 1)

    app.kit.jobs.register([step])
    async with running(app):
        await app.kit.jobs.enqueue(app.kit.database, step, left=2)
        await finish_jobs(app)
        assert done == [2, 1, 0]
        kit = app.kit
        await JobOperations(kit.database, kit.jobs, BulkChanges(kit.database, kit.jobs)).pause("default")
        waiting = await app.kit.jobs.enqueue(app.kit.database, step, left=0)
        await finish_jobs(app, seconds=10)
        assert (await app.kit.jobs.get(waiting)).state == JobState.READY
