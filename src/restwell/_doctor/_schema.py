"""The schema: pending migrations, missing and invalid indexes, plans that do not scale, bloat, exhausted sequences."""

from collections.abc import AsyncIterator
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnClause, column, text

from restwell import idempotency
from restwell._doctor._finding import Finding, Subject, findings_of
from restwell.cache import _suspension
from restwell.database import explain_queries, find_queries, query
from restwell.database._explain import unindexed_foreign_keys
from restwell.errors import ConfigurationError
from restwell.events import _queries as event_queries
from restwell.jobs import _operation_queries as job_operations
from restwell.jobs import _queries as job_queries

MIN_FREE_BYTES: Final = 16 * 2**20


class _Named(Struct, frozen=True):
    name: str
    amount: float


_NAMED: Final[tuple[ColumnClause[Any], ...]] = (column("name"), column("amount"))

_invalid_indexes: Final = query(
    "doctor.invalid_indexes",
    text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"),
    into=str,
)
_dead_rows: Final = query(
    "doctor.dead_rows",
    text(
        "SELECT relid::regclass::text AS name, n_dead_tup::float8 AS amount FROM pg_stat_user_tables"
        " WHERE n_dead_tup > 10000 AND n_dead_tup > 0.5 * n_live_tup ORDER BY 1"
    ).columns(*_NAMED),
    into=_Named,
)
_sequences: Final = query(
    "doctor.sequences",
    text(
        "SELECT sequencename AS name, last_value::float8 / max_value AS amount FROM pg_sequences"
        " WHERE NOT cycle AND last_value > 0.8 * max_value ORDER BY 1"
    ).columns(*_NAMED),
    into=_Named,
)
_free_pages: Final = query(
    "doctor.free_pages",
    text(
        "SELECT 'free' AS name, CAST(f.freelist_count * s.page_size AS REAL) AS amount"
        " FROM pragma_freelist_count f, pragma_page_size s, pragma_page_count c"
        " WHERE f.freelist_count > 0.5 * c.page_count"
    ).columns(*_NAMED),
    into=_Named,
)


async def check_migrations(subject: Subject) -> AsyncIterator[Finding]:
    if subject.database is None or subject.app is None:
        return
    try:
        await subject.app.migrations.check(subject.database)
    except ConfigurationError as error:
        for finding in findings_of(error, "migrations"):
            yield finding
        return
    migrations = subject.app.migrations
    pending = migrations.pending(await migrations.applied(subject.database))
    if pending:
        names = ", ".join(map(str, pending))
        yield Finding("hint", "migrations", f"{names} waits for the end of the deploy. Then run restwell migrate.")


async def check_indexes(subject: Subject) -> AsyncIterator[Finding]:
    database = subject.database
    if database is None:
        return
    for key in await unindexed_foreign_keys(database):
        yield Finding(
            "warning",
            f"foreign key {key}",
            "it has no index, so a delete of a parent row scans the whole table. Create an index that begins with it.",
        )
    if database.dialect == "sqlite":
        return
    for index in await database.primary.all(_invalid_indexes):
        yield Finding(
            "warning",
            f"index {index}",
            "it is invalid: CREATE INDEX CONCURRENTLY has failed, and each write still pays for it."
            f" Run DROP INDEX {index}, remove the cause, and create it again.",
        )


async def check_queries(subject: Subject) -> AsyncIterator[Finding]:
    if subject.database is None or subject.app is None:
        return
    try:
        await subject.app.migrations.check(subject.database)
    except ConfigurationError:
        return  # the queries are of another schema, which is a finding already
    queries = [
        *find_queries(job_queries, job_operations, event_queries, idempotency, _suspension),
        *subject.app.queries(),
    ]
    for plan in dict.fromkeys(await explain_queries(subject.database, queries)):
        if plan.findings:
            found = "; ".join(plan.findings)
            yield Finding("warning", f"query {plan.query}", f"{found}. restwell explain shows the plan.")


async def check_bloat(subject: Subject) -> AsyncIterator[Finding]:
    database = subject.database
    if database is None:
        return
    if database.dialect == "sqlite":
        free = await database.find(_free_pages)
        if free is not None and free.amount > MIN_FREE_BYTES:
            yield Finding(
                "hint",
                "DATABASE_URL",
                f"{free.amount / 2**20:,.0f} MiB of the file are free pages. Run VACUUM at night.",
            )
        return
    for table in await database.primary.all(_dead_rows):
        yield Finding(
            "hint",
            f"table {table.name}",
            f"it has {table.amount:,.0f} dead rows, which slow down scans. Run VACUUM ANALYZE {table.name}, and"
            " look for autovacuum_enabled=off on it, and for transactions that stay open.",
        )
    for sequence in await database.primary.all(_sequences):
        yield Finding(
            "warning",
            f"sequence {sequence.name}",
            f"{sequence.amount:.0%} of its numbers are used; after the last one, inserts fail. Change its column to"
            " bigint, and the sequence with ALTER SEQUENCE ... AS bigint.",
        )
