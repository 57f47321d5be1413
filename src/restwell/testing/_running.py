"""Runs the production app and its jobs in the process of the test."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, func, or_, select, update

from restwell._application import App
from restwell._extras import needs_extra
from restwell.database import param, query
from restwell.database._clock import db_now
from restwell.edge._context import Message
from restwell.jobs import JobState, WorkerOptions
from restwell.jobs._queries import is_in
from restwell.jobs._store import JobStore
from restwell.jobs._tables import jobs as jobs_table
from restwell.jobs._tables import paused_queues

with needs_extra("testing", "restwell.testing"):
    import httpx

START_SECONDS: Final = 30
BLOCKED_SECONDS: Final = 3.0
"""Longer than the 50 ms of production, because test machines are busy."""
BASE_URL: Final = "http://app.test"

_bring_forward: Final = query(
    "testing.bring_forward",
    update(jobs_table)
    .where(is_in(JobState.SCHEDULED), jobs_table.c.run_at > db_now(), jobs_table.c.run_at <= param("now"))
    .values(run_at=db_now()),
)
_pending: Final = query(
    "testing.pending_jobs",
    select(func.count()).where(
        or_(
            is_in(JobState.RUNNING),
            and_(
                or_(is_in(JobState.READY), and_(is_in(JobState.SCHEDULED), jobs_table.c.run_at <= param("now"))),
                jobs_table.c.queue.not_in(select(paused_queues.c.queue)),
            ),
        )
    ),
    into=int,
)
"""Jobs that run, or are ready or due in a queue that is not paused. One statement: a job may leave another one."""


@asynccontextmanager
async def running(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """Start the app, yield a client that calls it in process, and shut it down.

    Raises RuntimeError if the startup fails. Raises AssertionError for each query that exceeded the query budget of its
    route, and for each block of the event loop of more than BLOCKED_SECONDS.
    """
    _freeze_objects()
    receive_queue: asyncio.Queue[Message] = asyncio.Queue()
    send_queue: asyncio.Queue[Message] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    lifespan = asyncio.create_task(app(scope, receive_queue.get, send_queue.put))
    await _run_lifespan("startup", receive_queue, send_queue)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client:
            yield client
    finally:
        await _run_lifespan("shutdown", receive_queue, send_queue)
        await lifespan
    if app.query_budget.violations:
        raise AssertionError("\n".join(map(str, app.query_budget.violations.values())))
    blocks = [block for block in app.kit.watchdog.blocks if block.seconds > BLOCKED_SECONDS]
    if blocks:
        raise AssertionError("\n".join(map(str, blocks)))


async def finish_jobs(app: App, seconds: float = 30) -> None:
    """Run jobs in this process until none is due, ready or running, and apply all events. Jobs for later stay.

    What is due depends on the clock of this process, which a test may move; only cron jobs follow that of the database.
    The app must be running. Raises TimeoutError after ``seconds``.
    """
    queues = tuple({job.queue for job in app.kit.jobs.registered.values()})
    jobs = app.kit.jobs
    worker = app.worker(WorkerOptions(queues=queues), applies_events=False)  # only the loop below applies them
    working = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(seconds):
            while True:
                due = await _promote(app)
                is_pending = await app.kit.database.primary.one(_pending, now=datetime.now(UTC))
                has_applied = await app.kit.consumers.apply_all()  # last: events that such jobs have left
                if not (is_pending or has_applied):
                    break
                jobs.notify(due)
                await asyncio.sleep(0.01)
    finally:
        worker.stop()
        await working


async def _promote(app: App) -> list[str]:
    database = app.kit.database
    await database.run(_bring_forward, now=datetime.now(UTC))
    return await JobStore(database).promote()


@cache
def _freeze_objects() -> None:
    """Exclude existing objects from garbage collection, as the server does.

    A full collection of everything that the tests have loaded would block the event loop like a slow handler.
    """
    gc.collect()
    gc.freeze()


async def _run_lifespan(name: str, receive_queue: asyncio.Queue[Message], send_queue: asyncio.Queue[Message]) -> None:
    receive_queue.put_nowait({"type": f"lifespan.{name}"})
    message = await asyncio.wait_for(send_queue.get(), START_SECONDS)
    if message["type"] != f"lifespan.{name}.complete":
        raise RuntimeError(f"{name} failed: {message.get('message', '')}")
