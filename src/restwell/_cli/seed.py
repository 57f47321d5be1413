"""``restwell seed``: demo data."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from restwell._cli.cache import invalidate
from restwell._cli.loading import check_not_production, create_app_to_inspect, load, with_database
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell.database import Database


def seed(
    *, rows: Annotated[int, typer.Option(help="Also load this number of rows, for load tests.", min=0)] = 0
) -> None:
    """Fill a development database with demo data. Idempotent."""
    project, settings = load()
    check_not_production(settings, "seed")
    if project.seed is None or (rows and project.load_data is None):
        what, where = ("data for --rows", "load_data") if project.seed else ("demo data", "seed")
        raise ConfigurationError([f"{project.name} has no {what}: give its Project a function {where}="])
    seed_database = project.seed
    migrations = create_app_to_inspect(project, settings).migrations

    async def check_and_seed(database: Database) -> str:
        await migrations.check(database)
        return await seed_database(database)

    print(with_database(settings, check_and_seed))
    load_data = project.load_data
    if rows and load_data is not None:
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("rows", total=rows)
            done = with_database(
                settings, lambda database: load_data(database, rows, lambda n: progress.advance(bar, n))
            )
        print(done)
    invalidate(project, settings)  # for a running server: the writes bypassed its cache
