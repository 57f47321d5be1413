"""X2: no event is lost, applied twice or out of order, with concurrent writers and killed consumers.

``BROKEN=name pytest -k x2`` runs the test on a build with a fault of ``events_app/broken.py``, where it fails.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from events_app import app
from events_app.broken import break_on_purpose
from processes import children_of
from restwell.database import Database, Transaction, open_database
from restwell.database._transaction import TransactionHook
from restwell.events import Events
from restwell.jobs._notifier import open_notifier
from scoreboard import Score
from servers import RESTWELL, ROOT, SUPPORT, Served, restwell, serving, working

WRITERS: Final = 8
KEYS: Final = 100
EVENTS_A_TRANSACTION: Final = 5
COMBINATIONS: Final = [
    pytest.param(
        backend,
        where,
        marks=pytest.mark.scoreboard(
            "X2",
            f"1,000,000 events through outbox and inbox of {where}, kills",
            "0 lost, 0 applied twice, order kept per key",
        ),
    )
    for where in ("one database", "two services")
    for backend in ("postgresql", "sqlite")
]


def environment(url: str, **more: str) -> dict[str, Any]:
    return {
        "RESTWELL_APP": "events_app.app:project",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": url,
        "LOG_FORMAT": "json",
        **more,
    }


class SlowCommit(TransactionHook):
    """A commit that takes long: others, which got their positions later, are faster."""

    async def before_commit(self, tx: Transaction) -> None:
        await tx.flush()
        await asyncio.sleep(0.01)

    async def committed(self) -> None: ...

    def rolled_back(self) -> None: ...

    def outcome_unknown(self) -> None: ...


@pytest.fixture
async def source(empty_url: str) -> AsyncIterator[Database]:
    break_on_purpose()
    restwell("migrate", cwd=ROOT, **environment(empty_url)).check_returncode()
    async with open_database(empty_url, 2 * WRITERS) as database:
        yield database


async def write(database: Database, events: Events, count: int) -> None:
    """Append events in concurrent transactions that commit in another order than they begin; some roll back."""
    left = iter(range(count // EVENTS_A_TRANSACTION))

    async def append(tx: Transaction) -> None:
        for key in sorted(random.sample(range(KEYS), EVENTS_A_TRANSACTION)):  # in one order: counters have locks
            await app.add_count(tx, events, f"key-{key}")
        if random.random() < 0.1:  # noqa: S311  # not a secret
            tx.hooks.append(SlowCommit())

    async def write_some() -> None:
        for number in left:
            if number % 20 == 0:
                with suppress(ZeroDivisionError):
                    async with database.transaction() as tx:
                        await append(tx)
                        raise ZeroDivisionError
            await database.in_transaction(append)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write_some())


async def kill_while_applying(database: Database, worker: Served, kills: int, count: int) -> int:
    """Kill the processes of a worker while they apply events. Returns how often; fewer if they are too fast."""
    for kill in range(kills):
        before = await database.one(app.count_applied)
        enough = min(max(before, count * kill // (kills + 1)), count - 1)
        while (now := await database.one(app.count_applied)) <= enough:
            await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # not a secret
        if now >= count:
            return kill
        for process in children_of(worker.process.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    return kills


async def wait_until_applied(database: Database, count: int) -> None:
    while await database.one(app.count_applied) < count:
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("backend", "where"), Score.size(COMBINATIONS[::3], COMBINATIONS), indirect=["backend"])
async def test_every_event_is_applied_once_and_in_the_order_of_its_key_x2(
    source: Database, empty_url: str, where: str, tmp_path: Path, score: Score
) -> None:
    """Fails with BROKEN=no-lock, no-inbox and no-transaction: events are applied twice and out of order."""
    count, kills = score.size((1_000, 3), (1_000_000, 50))
    events = Events(source, open_notifier(source, empty_url, None, "events_app"))
    events.has_consumers = True
    async with AsyncExitStack() as stack:
        stack.push_async_callback(events.close)
        target, settings = source, environment(empty_url)
        if where == "two services":
            of_source = environment(empty_url)
            served = await stack.enter_async_context(serving(tmp_path, RESTWELL, "serve", **of_source))
            url = f"sqlite:///{tmp_path / 'target.db'}"
            settings = environment(url, **{app.SOURCE: served.url})
            restwell("migrate", cwd=ROOT, **settings).check_returncode()
            target = await stack.enter_async_context(open_database(url))
        began, killed = time.monotonic(), 0
        with working(tmp_path, "--processes=2", **settings) as worker:
            writing = asyncio.create_task(write(source, events, count))
            with suppress(TimeoutError):  # of lost events
                async with asyncio.timeout(score.size(120, 3_600)):
                    killed = await kill_while_applying(target, worker, kills, count)
                    await wait_until_applied(target, count)
            await writing
        seconds = time.monotonic() - began
        total, found = await source.one(app.total), await target.one(app.count_applied)
        misplaced = await target.one(app.count_misplaced)
    assert (total, found, misplaced) == (count, count, 0)
    assert killed
    score.note(
        f"{count:,} events of {KEYS} keys by {WRITERS} writers, workers killed {killed} times:"
        f" 0 lost, 0 twice, in order; {count / seconds:,.0f}/s"
    )
