"""``restwell worker``: processes that do jobs."""

from pathlib import Path
from typing import Annotated

import typer

from restwell import startup
from restwell.cli.loading import load, with_database
from restwell.database import Database, Migrations
from restwell.errors import ConfigurationError
from restwell.startup import StartupReport
from restwell.supervisor import supervise, worker_options


def worker(
    *,
    queues: Annotated[
        str, typer.Option(help="Only these, with commas between them, emptied in this order. Default: all.")
    ] = "",
    concurrency: Annotated[int, typer.Option(help="Jobs at a time in each process.", min=1)] = 10,
    processes: Annotated[int, typer.Option(help="How many processes.", min=1)] = 1,
    drain_seconds: Annotated[
        float, typer.Option(help="At SIGTERM, how long jobs may take to end; the others are given back.", min=0)
    ] = 25,
    max_jobs: Annotated[int | None, typer.Option(help="Replace a process after so many jobs.", min=1)] = None,
    max_memory_mb: Annotated[int | None, typer.Option(help="Replace a process that is larger.", min=1)] = None,
    liveness_file: Annotated[
        Path | None, typer.Option(help="Touched once a second while all is well, for a liveness probe.")
    ] = None,
) -> None:
    """Do jobs until told to stop. The schema must be at the newest revision."""
    project, settings = load()

    async def look(database: Database) -> StartupReport:
        await Migrations(project.migrations).check(database)
        return await startup.look(settings, project.name, database)

    with_database(settings, look).tell()
    options = worker_options(
        project.create_app(settings),
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
