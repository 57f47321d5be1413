"""``restwell explain``: named queries whose plans do not scale."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from restwell._cli.loading import create_app_to_inspect, load, with_database
from restwell._cli.tables import print_table

if TYPE_CHECKING:
    from restwell.database import Database, Plan

EXIT_FINDINGS: Final = 1


def explain(*, show_all: Annotated[bool, typer.Option("--all", help="Show every plan.")] = False) -> None:
    """Show named queries whose plans do not scale; exit code 1 if there are any."""
    from restwell import idempotency
    from restwell.cache import _suspension
    from restwell.database import explain_queries, find_queries
    from restwell.database._explain import unindexed_foreign_keys
    from restwell.events import _queries as event_queries
    from restwell.jobs import _operation_queries as job_operations
    from restwell.jobs import _queries as job_queries

    project, settings = load()
    app = create_app_to_inspect(project, settings)

    async def inspect(database: Database) -> tuple[list[Plan], list[str]]:
        await app.migrations.check(database)
        queries = [*find_queries(job_queries, job_operations, event_queries, idempotency, _suspension), *app.queries()]
        return await explain_queries(database, queries), await unindexed_foreign_keys(database)

    plans, keys = with_database(settings, inspect)
    table = Table("query", "finding", "plan", box=None)
    for plan in dict.fromkeys(plans):
        if plan.findings or show_all:
            table.add_row(plan.query, "\n".join(plan.findings), plan.summary)
    for key in keys:
        table.add_row(key, "foreign key without an index: a delete of a parent row scans the whole table", "")
    finding_count = sum(bool(plan.findings) for plan in plans) + len(keys)
    if finding_count or show_all:
        print_table(table)
    print(f"{len(plans)} plans, {finding_count} findings")
    if finding_count:
        raise SystemExit(EXIT_FINDINGS)
