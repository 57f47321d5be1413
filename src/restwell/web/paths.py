"""What the addresses of a route look like."""

import re
from typing import Final

from litestar import Litestar
from litestar.routes import HTTPRoute

from restwell.web.literals import UUID

# One way to write each value, so that nobody fills the cache with others, or passes a proxy that knows one.
_FORMS: Final = {
    "uuid": UUID,
    "int": "0|-?[1-9][0-9]{0,17}",
    "str": "[^/\\x00-\\x1f\\x7f]{1,100}",
}
_PARAMETER: Final = re.compile(r"\{(\w+):(\w+)\}")


def allowed_methods(app: Litestar) -> list[tuple[re.Pattern[str], str]]:
    """Of every route, as an Allow header has them; the edge answers HEAD wherever there is GET."""
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            methods = {method for handler in route.route_handlers for method in handler.http_methods} | {"OPTIONS"}
            if "GET" in methods:
                methods.add("HEAD")
            found.append((path_pattern(route.path), ", ".join(sorted(methods))))
    return found


def path_pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for found in _PARAMETER.finditer(path):
        parts += [re.escape(path[end : found.start()]), f"(?P<{found[1]}>{_FORMS[found[2]]})"]
        end = found.end()
    return re.compile("".join(parts) + re.escape(path[end:]))
