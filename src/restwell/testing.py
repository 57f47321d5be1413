"""For the tests of an application: the production app, started as a server would, behind an HTTP client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from restwell.app import App
from restwell.edge.exchange import Message

START_SECONDS: Final = 30
BASE_URL: Final = "http://app.test"


@asynccontextmanager
async def running(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """Start the app, give a client whose requests go straight into it, and shut it down.

    Raises RuntimeError with what the start raised, and AssertionError naming each query that ran oftener in one request
    than its route allows.
    """
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
    if app.query_budget.exceeded:
        raise AssertionError("\n".join(map(str, app.query_budget.exceeded.values())))


async def _phase(name: str, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    inbox.put_nowait({"type": f"lifespan.{name}"})
    answer = await asyncio.wait_for(outbox.get(), START_SECONDS)
    if answer["type"] != f"lifespan.{name}.complete":
        raise RuntimeError(f"{name} failed: {answer.get('message', '')}")
