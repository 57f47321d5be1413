"""Builds that are broken on purpose, each by one change. ``BROKEN=name`` in the environment selects one.

``BROKEN=no-fencing pytest -m scoreboard -k J4`` shows that the test of that fault fails.
"""

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from restwell.database import Query, Transaction
from restwell.jobs import Job, JobContext, Jobs
from restwell.jobs import _queries as queries
from restwell.jobs import _queue as queue
from restwell.jobs import _worker as worker
from restwell.jobs._store import JobStore

VARIABLE: Final = "BROKEN"


def _without(query: Query[Any], *parts: str) -> None:
    """Remove these conditions from the SQL of a query."""
    for dialect, compiled in query.compiled.items():
        sql = compiled.sql
        for part in parts:
            sql = sql.replace(part, "")
        assert sql != compiled.sql, f"{query.name} has no {parts}"
        query.compiled[dialect] = compiled._replace(sql=sql)


def _no_lease() -> None:
    """J1: expired leases are ignored."""

    async def expire(_self: JobStore) -> list[Any]:
        return []

    JobStore.expire = expire  # type: ignore[method-assign,assignment]  # on purpose, as in this whole module


def _no_transaction() -> None:
    """J1: the effects of a job are committed before its completion, in a separate transaction."""

    @asynccontextmanager
    async def completion(self: JobContext) -> AsyncIterator[Transaction]:
        async with self._database.transaction() as tx:
            yield tx

    JobContext.completion = completion  # type: ignore[method-assign]


def _no_attempts() -> None:
    """J2: an attempt counts only when its failure is recorded, which a crashed worker cannot do."""
    for dialect, compiled in queries.claim.compiled.items():
        parameters = tuple(
            one._replace(constant=0) if one.name.startswith("attempts") else one for one in compiled.parameters
        )
        queries.claim.compiled[dialect] = compiled._replace(parameters=parameters)


def _not_isolated() -> None:
    """J2: a job whose worker died does not run isolated."""
    for dialect, compiled in queries.expire.compiled.items():
        parameters = tuple(
            one._replace(constant=False) if one.name == "isolated" else one for one in compiled.parameters
        )
        queries.expire.compiled[dialect] = compiled._replace(parameters=parameters)


def _own_transaction() -> None:
    """J3: the job is inserted in a separate transaction."""
    real = Jobs.enqueue

    async def enqueue(self: Jobs, _tx: Transaction, job: Job[..., Any], *args: Any, **kwargs: Any) -> Any:
        async with self._database.transaction() as own:
            return await real(self, own, job, *args, **kwargs)

    Jobs.enqueue = enqueue  # type: ignore[method-assign,assignment]


def _no_polling() -> None:
    """J3: workers do not poll; they wait for a notification."""
    worker.POLL_SECONDS = 3_600.0  # type: ignore[misc]


def _no_fencing() -> None:
    """J4: a former claimant of a job may extend its lease and complete it."""
    for one in (queries.complete, queries.extend):
        _without(one, " AND jobs.fencing_token = rows.fencing_token", " AND jobs.state = 'running'")


def _no_dead_letters() -> None:
    """J5: failures are not recorded."""

    async def park(_self: JobStore, *_: Any) -> set[Any]:
        return set()

    async def fail(_self: JobStore, *_: Any, **__: Any) -> None:
        return None

    JobStore.fail = fail  # type: ignore[method-assign,assignment]
    JobStore.park = park  # type: ignore[method-assign,assignment]


def _no_parking() -> None:
    """V1: an unknown job counts as a failed attempt."""

    async def park(self: JobStore, running: Any) -> set[Any]:
        for one, requires in running:
            await self.fail(one, requires, "", 0.1, permanent=False)
        return {one.id for one, _ in running}

    JobStore.park = park  # type: ignore[method-assign]


def _publish_first() -> None:
    """J6: the notification is sent in the transaction, and its failure fails the transaction."""

    async def before_commit(self: Any, _tx: Transaction) -> None:
        await self._notifier._send(self.counts)
        if self._notifier.broker.is_down:
            raise ConnectionError("the broker rejected it")

    queue._Notifications.before_commit = before_commit  # type: ignore[method-assign,assignment]


def _no_cron_check() -> None:
    """J7: a scheduler does not check whether another one enqueued the scheduled time."""
    for dialect, compiled in queries.advance_cron_run.compiled.items():
        sql = re.sub(
            r"(cron_runs\.scheduled_at) = (\?|\$3::TIMESTAMP WITH TIME ZONE)$",
            r"(\1 IS NOT NULL OR \1 = \2)",
            compiled.sql.partition(" /*")[0],
        )
        assert sql != compiled.sql
        queries.advance_cron_run.compiled[dialect] = compiled._replace(sql=sql)


BUILDS: Final[Mapping[str, Callable[[], None]]] = {
    "no-lease": _no_lease,
    "no-transaction": _no_transaction,
    "no-attempts": _no_attempts,
    "not-isolated": _not_isolated,
    "own-transaction": _own_transaction,
    "no-polling": _no_polling,
    "no-fencing": _no_fencing,
    "no-dead-letters": _no_dead_letters,
    "no-parking": _no_parking,
    "publish-first": _publish_first,
    "no-cron-check": _no_cron_check,
}


@cache
def break_on_purpose() -> None:
    """Apply the breakage that the environment selects, once per process."""
    name = os.environ.get(VARIABLE)
    if name:
        BUILDS[name]()
