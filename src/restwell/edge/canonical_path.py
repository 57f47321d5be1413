"""One way to write each path: what a proxy compares is what is asked for."""

from typing import Final
from urllib.parse import quote

from restwell.edge.exchange import Concern, Exchange, Scope
from restwell.edge.problem import problem_reply
from restwell.errors import NotFound

_AS_IT_IS: Final = "/-._~!$&'()*+,;=:@"
"""What a path may hold without being encoded (RFC 3986 3.3)."""
_DOTS: Final = frozenset({".", ".."})


class CanonicalPath(Concern):
    """Answers with 404 a path with an empty part, a slash at its end, parts of dots, or anything encoded that need not be, or otherwise
    than in capitals: a proxy that guards ``/metrics`` would let ``/metrics/``, ``//metrics`` and ``/metric%73`` pass.
    """

    def before(self, exchange: Exchange) -> None:
        if not _is_canonical(exchange.scope):
            exchange.answer = problem_reply(NotFound(), exchange.request_id)


def _is_canonical(scope: Scope) -> bool:
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    if (b"%" in raw or not raw.isascii()) and quote(path, safe=_AS_IT_IS).encode() != raw:
        return False
    if "//" in path or not path.startswith("/") or (path.endswith("/") and path != "/"):
        return False
    return "/." not in path or _DOTS.isdisjoint(path.split("/"))
