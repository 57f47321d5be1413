"""Routes that may take longer than others: ``@post(timeout_seconds=60)``."""

from typing import Any, Final, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from restwell.edge.context import Scope, request_context

_DECLARED: Final = "timeout_seconds"


def apply_timeouts(app: Litestar) -> None:
    """Give the routes that declare it their own time; the others pay nothing for that."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if _DECLARED in handler.opt:
                handler.resolve_guards().insert(0, take_own_time)  # it keeps the list


async def take_own_time(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    request_context(cast("Scope", connection.scope)).timeout_seconds = handler.opt[_DECLARED]
