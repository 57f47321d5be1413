"""For the tests of an application: the production app, started as a server would, behind an HTTP client."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import httpx

from restwell.app import App
from restwell.edge.context import Message
from restwell.jobs import JobState, WorkerOptions
from restwell.jobs.store import JobStore

START_SECONDS: Final = 30
BLOCKED_SECONDS: Final = 1.0
"""More than in production, where 50 ms are told of: machines that run tests are busy."""
BASE_URL: Final = "http://app.test"
_AT_WORK: Final = frozenset({JobState.READY, JobState.RUNNING})


@asynccontextmanager
async def running(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """Start the app, give a client whose requests go straight into it, and shut it down.

    Raises RuntimeError with what the start raised, and AssertionError naming each query that ran oftener in one request
    than its route allows, and what kept the event loop from going round for longer than BLOCKED_SECONDS.
    """
    _leave_old_objects_alone()
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    lifespan = asyncio.create_task(app(scope, inbox.get, outbox.put))
    await _phase("startup", inbox, outbox)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client:
            yield client
    finally:
        await _phase("shutdown", inbox, outbox)
        await lifespan
    if app.query_budget.violations:
        raise AssertionError("\n".join(map(str, app.query_budget.violations.values())))
    blocks = [block for block in app.kit.watchdog.blocks if block.seconds > BLOCKED_SECONDS]
    if blocks:
        raise AssertionError("\n".join(map(str, blocks)))


async def finish_jobs(app: App, seconds: float = 30) -> None:
    """Do what is in the queue, in this process, until nothing is due, ready or running; what is scheduled for later stays.

    The app must be running. Raises TimeoutError after ``seconds``.
    """
    queues = tuple({job.queue for job in app.kit.jobs.registered.values()})
    store = JobStore(app.kit.database)
    worker = app.worker(WorkerOptions(queues=queues))
    working = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(seconds):
            while (due := await store.promote()) or any(
                one.state in _AT_WORK for one in await app.kit.jobs.queue_stats()
            ):
                app.kit.jobs.notify(due)
                await asyncio.sleep(0.01)
    finally:
        worker.stop()
        await working


@cache
def _leave_old_objects_alone() -> None:
    """As a server does when it has started: else the garbage collector goes through all that the tests have loaded, which blocks for as
    long as a slow handler. Once.
    """
    gc.collect()
    gc.freeze()


async def _phase(name: str, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    inbox.put_nowait({"type": f"lifespan.{name}"})
    answer = await asyncio.wait_for(outbox.get(), START_SECONDS)
    if answer["type"] != f"lifespan.{name}.complete":
        raise RuntimeError(f"{name} failed: {answer.get('message', '')}")
