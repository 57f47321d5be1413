"""URL patterns and allowed methods of routes."""

import re
from typing import Final

from litestar import Litestar
from litestar.routes import HTTPRoute

from restwell.web._literals import UUID

# Canonical forms: other spellings would multiply cache entries, and bypass the path rules of a proxy.
_PATTERNS: Final = {
    "uuid": UUID,
    "int": "0|-?[1-9][0-9]{0,17}",
    "str": "[^/\\x00-\\x1f\\x7f]{1,100}",
}
_PATH_PARAMETER: Final = re.compile(r"\{(\w+):(\w+)\}")


def allowed_methods(app: Litestar) -> list[tuple[re.Pattern[str], str]]:
    """The path pattern and the Allow header of every route. The edge supports HEAD for every GET route."""
    allowed = []
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            methods = {method for handler in route.route_handlers for method in handler.http_methods} | {"OPTIONS"}
            if "GET" in methods:
                methods.add("HEAD")
            allowed.append((path_pattern(route.path), ", ".join(sorted(methods))))
    return allowed


def path_pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for match in _PATH_PARAMETER.finditer(path):
        parts += [re.escape(path[end : match.start()]), f"(?P<{match[1]}>{_PATTERNS[match[2]]})"]
        end = match.end()
    return re.compile("".join(parts) + re.escape(path[end:]))
