"""The timeout that a route declares."""

from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from restwell.edge._context import request_context
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, get
from tiny.app import app_of

seen: list[float | None] = []


async def note_timeout(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    seen.append(request_context(cast("dict[str, Any]", connection.scope)).timeout_seconds)


class Slow(Controller):
    path = "/slow"
    guards = [note_timeout]  # of the framework

    @get(timeout_seconds=2.5)
    async def declared(self) -> str:
        """A timeout of its own."""
        return "done"

    @get("/default")
    async def default(self) -> str:
        """The timeout of the settings."""
        return "done"


async def test_the_timeout_of_a_route_includes_its_guards(tiny_settings: Settings) -> None:
    """Breaks when it is set after the guards: a slow guard then has the default timeout. See edge/test_deadline.py."""
    seen.clear()
    async with running(app_of(tiny_settings, Slow)) as client:
        for path in ("/v1/slow", "/v1/slow/default"):
            assert (await client.get(path)).text == "done"
    assert seen == [2.5, None]
