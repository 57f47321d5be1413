"""Rejection of paths in a non-canonical spelling, so that a path rule of a proxy matches every request that it should
match.
"""

from typing import Final
from urllib.parse import quote

from restwell.edge._context import Hook, RequestContext, Scope
from restwell.errors import NotFound

_UNENCODED: Final = "/-._~!$&'()*+,;=:@"
"""Characters that a path may contain without percent-encoding (RFC 3986 3.3)."""
_DOTS: Final = frozenset({".", ".."})


class CanonicalPath(Hook):
    """Responds with 404 to a path with an empty segment, a trailing slash, dot segments, unnecessary percent-encoding
    or lower-case percent-encoding. Otherwise ``/metrics/``, ``//metrics`` and ``/metric%73`` would pass a proxy that
    blocks ``/metrics``.

    Removes the prefix in ASGI's ``root_path`` from the path.
    """

    def admit(self, context: RequestContext) -> None:
        scope = context.scope
        path: str = scope["path"]
        raw: bytes = scope.get("raw_path") or b""
        is_canonical = (b"%" not in raw and raw.isascii()) or quote(path, safe=_UNENCODED).encode() == raw
        if scope.get("root_path"):
            path = scope["path"] = path_below_root(scope)
            scope["root_path"] = ""  # the framework would search for it anywhere in the path
        if (
            not is_canonical
            or "//" in path
            or path[:1] != "/"
            or (path[-1:] == "/" and path != "/")
            or ("/." in path and not _DOTS.isdisjoint(path.split("/")))
        ):
            raise NotFound


def path_below_root(scope: Scope) -> str:
    """The path without the prefix in ASGI's ``root_path``; unchanged if the server did not include the prefix."""
    path: str = scope["path"]
    root: str = scope["root_path"].rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path
