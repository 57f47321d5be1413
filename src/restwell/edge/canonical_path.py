"""One way to write each path: what a proxy compares is what is asked for."""

from typing import Final
from urllib.parse import quote

from restwell.edge.context import Hook, RequestContext, Scope
from restwell.edge.problem import problem_response
from restwell.errors import NotFound

_AS_IT_IS: Final = "/-._~!$&'()*+,;=:@"
"""What a path may hold without being encoded (RFC 3986 3.3)."""
_DOTS: Final = frozenset({".", ".."})


class CanonicalPath(Hook):
    """Answers with 404 a path with an empty part, a slash at its end, parts of dots, or anything encoded that need not be, or otherwise
    than in capitals: a proxy that guards ``/metrics`` would let ``/metrics/``, ``//metrics`` and ``/metric%73`` pass.

    Behind a prefix, ASGI's ``root_path``, everything else sees the path below it.
    """

    def before(self, context: RequestContext) -> None:
        scope = context.scope
        path: str = scope["path"]
        raw: bytes = scope.get("raw_path") or b""
        is_canonical = (b"%" not in raw and raw.isascii()) or quote(path, safe=_AS_IT_IS).encode() == raw
        if scope.get("root_path"):
            path = scope["path"] = _below_root(scope)
            scope["root_path"] = ""  # the framework would look for it anywhere in the path
        if not is_canonical or not _is_plain(path):
            context.response = problem_response(NotFound(), context.request_id)


def _below_root(scope: Scope) -> str:
    """The path as it is, where the server has not put the prefix into it."""
    path: str = scope["path"]
    root: str = scope["root_path"].rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


def _is_plain(path: str) -> bool:
    if "//" in path or not path.startswith("/") or (path.endswith("/") and path != "/"):
        return False
    return "/." not in path or _DOTS.isdisjoint(path.split("/"))
