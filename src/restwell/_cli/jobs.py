"""The commands ``restwell jobs``."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from restwell._cli.loading import load
from restwell.database import DatabaseUnavailable
from restwell.errors import AppError, ConfigurationError
from restwell.jobs import JobNotDead, JobRecord, Jobs, JobState

T = TypeVar("T")

PAGE: Final = 500

commands: Final = typer.Typer(no_args_is_help=True, help="List, show, retry, cancel and discard jobs.")

Ids = Annotated[list[UUID], typer.Argument(help="Job ids.")]


@commands.command("list")
def list_jobs(
    *,
    state: Annotated[JobState, typer.Option(help="Only jobs in this state, newest first.")] = JobState.DEAD,
    limit: Annotated[int, typer.Option(help="Maximum number of jobs.", min=1, max=10_000)] = 20,
) -> None:
    """List jobs, and the number of jobs by queue and state."""

    async def read(jobs: Jobs) -> tuple[list[JobRecord], list[str], list[str]]:
        found = await jobs.list_jobs(state, limit)
        errors = [(await jobs.failures(one.id))[:1] for one in found]
        counts = [f"{one.count:,} {one.state} in {one.queue}" for one in await jobs.queue_stats()]
        parked = [f"no worker knows {one.requires}" if one.requires else "" for one in found]
        return (
            found,
            [failure[0].error if failure else reason for failure, reason in zip(errors, parked, strict=True)],
            counts,
        )

    found, errors, counts = _with_jobs(read)
    table = Table("id", "name", "queue", "attempts", "enqueued", "last error", box=None)
    for one, error in zip(found, errors, strict=True):
        first_line = error.partition("\n")[0]
        attempts = f"{one.attempts}/{one.max_attempts}"
        table.add_row(str(one.id), one.name, one.queue, attempts, f"{one.enqueued_at:%Y-%m-%d %H:%M:%S}", first_line)
    if found:
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    print("; ".join(sorted(counts)) or "no jobs are scheduled, ready, running, parked or dead")


@commands.command()
def show(job_id: Annotated[UUID, typer.Argument(help="Job id.")]) -> None:
    """Show a job with its arguments, result and the error of each failed attempt."""

    async def read(jobs: Jobs) -> tuple[JobRecord, list[str]]:
        found = await jobs.get(job_id)
        failures = await jobs.failures(job_id)
        return found, [
            f"\nattempt {one.attempt} failed at {one.failed_at:%F %T} UTC: {one.error}\n{one.traceback}".rstrip()
            for one in reversed(failures)
        ]

    found, failures = _with_jobs(read)
    for name, value in msgspec.structs.asdict(found).items():
        if value is not None:
            print(f"{name:<13} {value}")
    print("\n".join(failures))


@commands.command()
def retry(
    job_ids: Annotated[list[UUID] | None, typer.Argument(help="Ids of dead or cancelled jobs.")] = None,
    *,
    name: Annotated[str | None, typer.Option(help="Retry every dead job with this name.")] = None,
) -> None:
    """Retry dead or cancelled jobs, with their attempts reset."""
    if not job_ids and name is None:
        raise ConfigurationError(["give the ids of jobs, or --name for every dead job with that name"])

    async def retry_all(jobs: Jobs) -> int:
        if name is None:
            for job_id in job_ids or ():
                await jobs.retry(job_id)
            return len(job_ids or ())
        retried, after = 0, None
        while page := await jobs.list_jobs(JobState.DEAD, PAGE, after):
            after = page[-1].finished_at, page[-1].id
            for one in page:
                if one.name == name:
                    try:
                        await jobs.retry(one.id)
                    except JobNotDead:  # its unique key is taken, or it was retried concurrently
                        continue
                    retried += 1
        return retried

    print(f"{_with_jobs(retry_all):,} retried")


@commands.command()
def cancel(job_ids: Ids) -> None:
    """Cancel unfinished jobs."""

    async def cancel_all(jobs: Jobs) -> int:
        return sum([await jobs.cancel(job_id) for job_id in job_ids])

    print(f"{_with_jobs(cancel_all):,} cancelled")


@commands.command()
def discard(job_ids: Ids) -> None:
    """Delete finished jobs."""

    async def discard_all(jobs: Jobs) -> int:
        for job_id in job_ids:
            await jobs.discard(job_id)
        return len(job_ids)

    print(f"{_with_jobs(discard_all):,} discarded")


def _with_jobs(work: Callable[[Jobs], Awaitable[T]]) -> T:
    """Run ``work`` with the application's job queue.

    An AppError, such as an unknown id, prints one line and exits with 2.
    """
    project, settings = load()
    app = project.create_app(settings)
    kit = app.kit

    async def run() -> T:
        async with kit.database:
            try:
                await app.migrations.check(kit.database)
                return await work(kit.jobs)
            except DatabaseUnavailable:
                raise
            except AppError as error:
                raise ConfigurationError([error.detail]) from None
            finally:
                await kit.jobs.close()

    return asyncio.run(run())
