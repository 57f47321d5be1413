"""The tiny application with slow routes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from restwell import App
from restwell import _heartbeats as heartbeats
from restwell import _server as server
from restwell.settings import Settings
from restwell.web import Controller, Stream, get
from tiny.app import app_of
from tiny.app import project as tiny

HUNG = "SLOW_HUNG_SECONDS"
"""Environment variable: overrides the seconds after which a worker counts as hung, with faster heartbeats."""

if HUNG in os.environ:
    server.HUNG_SECONDS = float(os.environ[HUNG])  # type: ignore[misc]
    heartbeats.BEAT_SECONDS = server.HUNG_SECONDS / 8  # type: ignore[misc]


class SlowController(Controller):
    path = "/slow"

    @get("/wait/{seconds}")
    async def wait(self, seconds: int) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return "done"

    @get("/events")
    async def send_events(self) -> Stream[str]:
        """Send one event, and wait for a second one for ever."""
        return Stream(open=_events, media_type="text/event-stream")

    @get("/open")
    async def count_open(self) -> int:
        """The number of event streams of this process."""
        return len(open_streams)

    @get("/block/{seconds}")
    async def block(self, seconds: int) -> str:
        """Block the event loop."""
        time.sleep(seconds)  # noqa: ASYNC251  # on purpose
        return "done"

    @get("/compute/{seconds}")
    async def compute(self, seconds: int) -> str:
        """Compute, and yield to the event loop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(3_000_000))
            await asyncio.sleep(0)
        return "done"


open_streams: list[object] = []


async def _events() -> AsyncIterator[bytes]:
    open_streams.append(None)
    try:
        yield b"data: first\n\n"
        await asyncio.Event().wait()
    finally:
        open_streams.pop()


def create_app(settings: Settings) -> App:
    return app_of(settings, SlowController)


project = replace(tiny, create_app=create_app)
