"""The tiny application with slow routes."""

import asyncio
import os
import time
from dataclasses import replace

from restwell import App
from restwell import _heartbeats as heartbeats
from restwell import _server as server
from restwell.settings import Settings
from restwell.web import Controller, get
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


def create_app(settings: Settings) -> App:
    return app_of(settings, SlowController)


project = replace(tiny, create_app=create_app)
