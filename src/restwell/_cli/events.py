"""``restwell events``: how far the consumers of events are, and which events they cannot apply."""

import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from restwell._cli.loading import create_app_to_inspect, load, with_database
from restwell.database import Database
from restwell.events._status import ConsumerStatus, statuses_of


def events() -> None:
    """List the consumers of events: how many they have not applied, and the last error of those that fail."""
    project, settings = load()
    app = create_app_to_inspect(project, settings)

    async def read(database: Database) -> list[ConsumerStatus]:
        await app.migrations.check(database)
        return await statuses_of(database, app.kit.consumers)

    found = with_database(settings, read)
    if not found:
        print("the application has no consumers of events")
        return
    table = Table("consumer", "topic", "unread", "oldest", "failing event", "attempts", "last error", box=None)
    for one in found:
        unread = "another service" if one.unread is None else f"{one.unread:,}"
        row = (one.name, one.topic, unread, _age(one.oldest_at))
        for each in one.failing:
            table.add_row(*row, each.id, str(each.attempts), escape(each.error.partition("\n")[0]))
            row = ("", "", "", "")
        if not one.failing:
            table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _age(at: datetime | None) -> str:
    return "" if at is None else f"{max(0.0, (datetime.now(UTC) - at).total_seconds()):,.0f} s"
