"""The tiny application with routes that take their time."""

import asyncio
import time
from dataclasses import replace

from restwell import App
from restwell.settings import Settings
from restwell.web import Controller, get
from tiny.app import app_of
from tiny.app import project as tiny


class SlowController(Controller):
    path = "/slow"

    @get("/wait/{seconds:int}")
    async def wait(self, seconds: int) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return "done"

    @get("/block/{seconds:int}")
    async def block(self, seconds: int) -> str:
        """Block the event loop, as no route should."""
        time.sleep(seconds)  # noqa: ASYNC251  # on purpose
        return "done"

    @get("/compute/{seconds:int}")
    async def compute(self, seconds: int) -> str:
        """Compute, and let others go on now and then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(3_000_000))
            await asyncio.sleep(0)
        return "done"


def create_app(settings: Settings) -> App:
    return app_of(settings, SlowController)


project = replace(tiny, create_app=create_app)
