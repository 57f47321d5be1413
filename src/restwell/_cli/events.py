"""``restwell events``: how far the consumers of events are, and which events they cannot apply."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table

from restwell._cli.loading import create_app_to_inspect, load, with_database
from restwell._cli.tables import print_table

if TYPE_CHECKING:
    from restwell.database import Database
    from restwell.events._status import ConsumerStatus


def events() -> None:
    """List the consumers of events: how many they have not applied, and the last error of those that fail."""
    from restwell.events._status import statuses_of

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
            table.add_row(*row, each.id, str(each.attempts), each.error.partition("\n")[0])
            row = ("", "", "", "")
        if not one.failing:
            table.add_row(*row)
    print_table(table)


def _age(at: datetime | None) -> str:
    return "" if at is None else f"{max(0.0, (datetime.now(UTC) - at).total_seconds()):,.0f} s"
