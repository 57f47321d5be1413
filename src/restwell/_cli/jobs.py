"""The commands ``restwell jobs``."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar
from uuid import UUID

import msgspec
import typer
from rich.table import Table

from restwell._cli.loading import create_app, load
from restwell._cli.tables import print_table
from restwell._terminal import printable
from restwell.errors import AppError, ConfigurationError

if TYPE_CHECKING:
    from restwell.jobs import (
        BulkChange,
        CronStatus,
        JobDetails,
        JobOperations,
        JobPage,
        Jobs,
        QueueStats,
        QueueStatus,
    )

T = TypeVar("T")

commands: Final = typer.Typer(no_args_is_help=True, help="List, show and change jobs; pause and resume their queues.")

StateName = Literal["scheduled", "ready", "running", "parked", "done", "dead", "cancelled"]
"""The values of JobState."""

Ids = Annotated[list[UUID] | None, typer.Argument(help="Job ids. Without them, all jobs that match the options.")]
State = Annotated[StateName | None, typer.Option(help="All jobs in this state.")]
Queue = Annotated[str | None, typer.Option(help="Only jobs of this queue.")]
Name = Annotated[str | None, typer.Option(help="Only jobs with this name.")]


@commands.command("list")
def list_jobs(
    *,
    state: Annotated[StateName, typer.Option(help="Only jobs in this state, newest first.")] = "dead",
    queue: Queue = None,
    name: Name = None,
    limit: Annotated[int, typer.Option(help="Maximum number of jobs.", min=1, max=10_000)] = 20,
    before: Annotated[UUID | None, typer.Option(help="Only jobs that follow this one in the list.")] = None,
) -> None:
    """List jobs, and the number of jobs by queue and state."""
    from restwell.jobs import JobFilter, JobPosition, JobState
    from restwell.jobs._tables import UNFINISHED

    async def read(jobs: Jobs, operations: JobOperations) -> tuple[JobPage, dict[UUID, str], list[str]]:
        position = None
        if before is not None:
            last = await jobs.get(before)
            if (last.finished_at is None) != (state in UNFINISHED):
                raise ConfigurationError([f"--before={before} is {last.state}: start again without it"])
            position = JobPosition(last.finished_at, last.id)
        listed = await operations.list_jobs(JobFilter(state=JobState(state), queue=queue, name=name), limit, position)
        return listed, await operations.last_errors(listed.items), _describe_queues(await operations.queues())

    listed, errors, queues = _with_jobs(read)
    table = Table("id", "name", "queue", "attempts", "enqueued", "last error", box=None)
    for one in listed.items:
        parked = f"no worker knows {one.requires}" if one.requires else ""
        first_line = errors.get(one.id, parked).partition("\n")[0]
        attempts = f"{one.attempts}/{one.max_attempts}"
        table.add_row(str(one.id), one.name, one.queue, attempts, f"{one.enqueued_at:%Y-%m-%d %H:%M:%S}", first_line)
    if listed.items:
        print_table(table)
    if listed.next is not None:
        print(f"more: --before={listed.next.id}")
    print(printable("; ".join(queues)) or "no jobs are scheduled, ready, running, parked or dead")


@commands.command()
def show(job_id: Annotated[UUID, typer.Argument(help="Job id.")]) -> None:
    """Show a job with its arguments, result and the error of each failed attempt, without secrets."""

    async def read(_: Jobs, operations: JobOperations) -> JobDetails:
        return await operations.details(job_id)

    found = _with_jobs(read)
    for name, value in msgspec.structs.asdict(found.job).items():
        if value is not None:
            print(printable(f"{name:<13} {f'{value:%F %T} UTC' if isinstance(value, datetime) else value}"))
    for one in reversed(found.failures):
        print(f"\nattempt {one.attempt} failed at {one.failed_at:%F %T} UTC")
        print(indent(printable((one.traceback or one.error).rstrip()), "  "))  # a traceback ends with the error


@commands.command()
def retry(job_ids: Ids = None, *, state: State = None, queue: Queue = None, name: Name = None) -> None:
    """Retry dead or cancelled jobs, with their attempts reset. Without ids and a state: all dead jobs that match."""

    async def retry_one(jobs: Jobs, job_id: UUID) -> bool:
        await jobs.retry(job_id)
        return True

    _change("retry", "dead", "retried", retry_one, job_ids, state, queue, name)


@commands.command()
def cancel(job_ids: Ids = None, *, state: State = None, queue: Queue = None, name: Name = None) -> None:
    """Cancel unfinished jobs. Without ids and a state: all ready jobs that match."""

    async def cancel_one(jobs: Jobs, job_id: UUID) -> bool:
        return await jobs.cancel(job_id)

    _change("cancel", "ready", "cancelled", cancel_one, job_ids, state, queue, name)


@commands.command()
def discard(job_ids: Ids = None, *, state: State = None, queue: Queue = None, name: Name = None) -> None:
    """Delete finished jobs. Without ids and a state: all dead jobs that match."""

    async def discard_one(jobs: Jobs, job_id: UUID) -> bool:
        await jobs.discard(job_id)
        return True

    _change("discard", "dead", "discarded", discard_one, job_ids, state, queue, name)


@commands.command()
def changes() -> None:
    """List the newest changes of many jobs, with their progress."""

    async def read(_: Jobs, operations: JobOperations) -> list[BulkChange]:
        return await operations.bulk_changes()

    table = Table("job", "change", "requested", "examined", "changed", "state", box=None)
    for one in _with_jobs(read):
        what = " ".join([one.action, one.state, *filter(None, (one.queue, one.name))])
        requested = f"{one.requested_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.job_id), what, requested, f"{one.examined:,}", f"{one.changed:,}", one.job_state)
    print_table(table)


@commands.command()
def queues() -> None:
    """List the queues: their jobs by state, the age of the oldest ready job, and whether they are paused."""
    from restwell.jobs import JobState

    async def read(_: Jobs, operations: JobOperations) -> list[QueueStatus]:
        return await operations.queues()

    shown = (JobState.SCHEDULED, JobState.READY, JobState.RUNNING, JobState.PARKED, JobState.DEAD)
    table = Table("queue", *shown, "oldest ready", "paused", box=None)
    for one in _with_jobs(read):
        counts = [_count(one.counts[state]) if state in one.counts else "" for state in shown]
        age = "" if one.oldest_ready_seconds is None else f"{one.oldest_ready_seconds:,.0f} s"
        table.add_row(one.name, *counts, age, "" if one.paused_at is None else f"since {one.paused_at:%F %T} UTC")
    print_table(table)


@commands.command()
def pause(queue: Annotated[str, typer.Argument(help="Queue.")]) -> None:
    """Stop all workers from starting jobs of a queue. Jobs are still enqueued, and running jobs finish."""

    async def work(_: Jobs, operations: JobOperations) -> bool:
        return await operations.pause(queue)

    print(f"{queue} is paused" if _with_jobs(work) else f"{queue} was paused before")


@commands.command()
def resume(queue: Annotated[str, typer.Argument(help="Queue.")]) -> None:
    """Let workers start jobs of a paused queue again."""

    async def work(_: Jobs, operations: JobOperations) -> bool:
        return await operations.resume(queue)

    print(f"{queue} is resumed" if _with_jobs(work) else f"{queue} was not paused")


@commands.command()
def cron() -> None:
    """List the cron jobs, with their last and next times."""

    async def read(_: Jobs, operations: JobOperations) -> list[CronStatus]:
        return await operations.cron_jobs()

    table = Table("name", "cron", "time zone", "last", "its job", "next", box=None)
    for one in _with_jobs(read):
        last = "" if one.last_at is None else f"{one.last_at:%F %T} UTC"
        its_job = "" if one.job_id is None else f"{one.job_id} {one.state or 'deleted'}"
        table.add_row(one.name, one.expression, one.timezone, last, its_job, f"{one.next_at:%F %T} UTC")
    print_table(table)


def _change(
    action: str,
    default: StateName,
    changed: str,
    change_one: Callable[[Jobs, UUID], Awaitable[bool]],
    job_ids: list[UUID] | None,
    state: StateName | None,
    queue: str | None,
    name: str | None,
) -> None:
    """Change the jobs with the ids now, or enqueue the change of all jobs that match."""
    from restwell.jobs import BulkAction, JobFilter, JobState

    is_bulk = bool(state or queue or name)
    if bool(job_ids) == is_bulk:
        raise ConfigurationError(["give the ids of jobs, or --state, --queue or --name for all jobs that match"])

    async def work(jobs: Jobs, operations: JobOperations) -> str:
        if job_ids:
            return f"{sum([await change_one(jobs, job_id) for job_id in job_ids]):,} {changed}"
        filters = JobFilter(state=JobState(state or default), queue=queue, name=name)
        counted = await operations.count(filters)
        job_id = await operations.change_all(BulkAction(action), filters)
        more = " or more" if counted.at_least else ""
        return f"{counted.count:,}{more} match; a worker changes them as job {job_id} (restwell jobs changes)"

    print(_with_jobs(work))


def _describe_queues(queues: Sequence[QueueStatus]) -> list[str]:
    counts = [f"{_count(one)} {one.state} in {one.queue}" for queue in queues for one in queue.counts.values()]
    return sorted(counts) + [f"{queue.name} is paused" for queue in queues if queue.paused_at is not None]


def _count(stats: QueueStats) -> str:
    return f"{stats.count:,}{'+' if stats.at_least else ''}"


def _with_jobs(work: Callable[[Jobs, JobOperations], Awaitable[T]]) -> T:
    """Run ``work`` with the application's job queue.

    An AppError, such as an unknown id, prints one line and exits with 2.
    """
    from restwell.database import DatabaseUnavailable
    from restwell.jobs import JobOperations

    project, settings = load()
    app = create_app(project, settings)
    kit = app.kit

    async def run() -> T:
        async with kit.database:
            try:
                await app.migrations.check(kit.database)
                return await work(kit.jobs, app.service(JobOperations))
            except DatabaseUnavailable:
                raise
            except AppError as error:
                raise ConfigurationError([error.detail]) from None
            finally:
                await kit.jobs.close()

    return asyncio.run(run())
