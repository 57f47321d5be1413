"""``restwell serve``: the HTTP server."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import sys
from typing import TYPE_CHECKING

from restwell._cli.loading import create_app, load, with_database

if TYPE_CHECKING:
    from restwell._startup import StartupReport
    from restwell.database import Database


def serve() -> None:
    """Run the HTTP server. Run migrate first: the schema must be compatible."""
    from restwell import _server as server
    from restwell import _startup as startup

    project, settings = load(serves=True)
    server.check_addresses(settings)

    async def check(database: Database) -> StartupReport:
        await startup.check_connection_limit(database, settings)
        report = await startup.check_services(settings, project.name, database)
        # An error that would stop each worker process stops this one, with its message.
        app = create_app(project, settings)
        await app.migrations.check(database)
        return report

    report = with_database(settings, check)
    if sys.stdout.isatty():
        print("\n".join(report.lines()), flush=True)
    report.log()
    server.serve(settings)
