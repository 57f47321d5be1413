"""The tiny application with Litestar as its host: a WebSocket, events, and middleware around every route."""

from collections.abc import AsyncIterator
from dataclasses import replace

from litestar import get
from litestar.handlers import WebsocketListener
from litestar.response import ServerSentEvent

from both_ways import does_nothing
from restwell import App, Restwell
from restwell.litestar import LitestarHost
from restwell.settings import Settings
from restwell.web import Feature, Version
from tiny.app import CONTROLLERS, MIGRATIONS, add_reminder, authenticate
from tiny.app import project as tiny


class Echo(WebsocketListener):
    path = "/echo"

    async def on_receive(self, data: str) -> str:
        return f"echo {data}"


@get("/events")
async def events() -> ServerSentEvent:
    async def ticks() -> AsyncIterator[str]:
        for number in range(3):
            yield f"tick {number}"

    return ServerSentEvent(ticks())


def create_app(settings: Settings) -> App:
    return Restwell(settings, name="tiny").app(
        [Version("/v1", [Feature(controllers=CONTROLLERS, jobs=[add_reminder])])],
        authenticate=authenticate,
        migrations=MIGRATIONS,
        host=LitestarHost([Echo, events], middleware=[does_nothing]),
    )


project = replace(tiny, create_app=create_app)
