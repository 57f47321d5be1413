"""The command ``restwell worker``."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restwell._cli.loading import create_app, load, with_database
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell._startup import StartupReport
    from restwell.database import Database


def worker(
    *,
    queues: Annotated[
        str, typer.Option(help="Queues to work on, separated by commas, in order of precedence. Default: all.")
    ] = "",
    concurrency: Annotated[int, typer.Option(help="Concurrent jobs per process.", min=1)] = 10,
    processes: Annotated[int, typer.Option(help="Number of worker processes.", min=1)] = 1,
    drain_seconds: Annotated[
        float,
        typer.Option(
            help="How long running jobs may take to finish after SIGTERM. Unfinished jobs return to the queue.", min=0
        ),
    ] = 25,
    max_jobs: Annotated[int | None, typer.Option(help="Replace a process after this number of jobs.", min=1)] = None,
    max_memory_mb: Annotated[int | None, typer.Option(help="Replace a process that uses more memory.", min=1)] = None,
    liveness_file: Annotated[
        Path | None, typer.Option(help="A file to touch once a second while the event loop runs, for a liveness probe.")
    ] = None,
) -> None:
    """Run jobs until SIGTERM. The database schema must be at the newest revision."""
    from restwell import _startup as startup
    from restwell._supervisor import supervise, worker_options

    project, settings = load(serves=True)
    app = create_app(project, settings)

    async def check(database: Database) -> StartupReport:
        await app.migrations.check(database)
        return await startup.check_services(settings, project.name, database)

    with_database(settings, check).log()
    options = worker_options(
        app,
        tuple(name for name in queues.replace(",", " ").split()),
        concurrency=concurrency,
        drain_seconds=drain_seconds,
        max_jobs=max_jobs,
        max_memory_bytes=max_memory_mb * 2**20 if max_memory_mb is not None else None,
        liveness_file=liveness_file,
    )
    if liveness_file is not None:
        try:
            liveness_file.touch()
        except OSError as error:
            raise ConfigurationError([f"--liveness-file={liveness_file} cannot be written: {error.strerror}"]) from None
    supervise(options, processes, settings.database.url.get_secret_value())
