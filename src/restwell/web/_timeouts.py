"""Timeouts of routes that differ from the default: ``@post(timeout_seconds=60)``."""

from typing import Any, Final, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from restwell.edge._context import Scope, request_context

_DECLARED: Final = "timeout_seconds"


def apply_timeouts(app: Litestar) -> None:
    """Add a guard that sets the timeout to every route that declares one."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if _DECLARED in handler.opt:
                handler.resolve_guards().insert(0, set_timeout)  # Litestar caches this list


async def set_timeout(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    request_context(cast("Scope", connection.scope)).timeout_seconds = handler.opt[_DECLARED]
