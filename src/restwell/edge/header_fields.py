"""The header fields of a request, each name once (RFC 9110 5.3), so that whatever reads them later reads the same value.

Several lines of a list are one list. What may stand in one line only, and says who calls, for which host, or how the request is read, is
refused when it comes twice: a proxy may have looked at the other line.
"""

import re
from ipaddress import IPv6Address
from typing import Final

from restwell.edge.context import Headers, Hook, RequestContext, Scope
from restwell.edge.problem import problem_response
from restwell.errors import AppError, HeadersTooLarge, MalformedRequest

MAX_FIELDS: Final = 80
"""Lines. The server itself takes 100, which cannot be changed, and answers more without a body."""
MAX_BYTES: Final = 32_768
"""Names and values. The server takes twice as much (server.py), so that what is too long is answered here, with a problem."""

SINGLETONS: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"content-type",
        b"content-range",
        b"authorization",
        b"proxy-authorization",
        b"origin",
        b"access-control-request-method",
        b"sec-fetch-site",
        b"idempotency-key",
        b"range",
        b"if-range",
        b"if-modified-since",
        b"if-unmodified-since",
    }
)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_VERSION_1_0: Final = frozenset({"1.0", "1"})
"""Granian writes the second."""
_host: Final = re.compile(
    rb"(?:[0-9A-Za-z._-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])"
    rb"(?::(?:[0-9]{0,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
).fullmatch


class HeaderFields(Hook):
    """Comes before those that read headers. Answers a request that names no host, or more than one, or whose fields contradict each other
    (400), or that has too many of them (431).
    """

    def before(self, context: RequestContext) -> None:
        scope, fields = context.scope, context.headers
        lines: Headers = scope["headers"]
        try:
            if len(lines) > MAX_FIELDS:
                raise HeadersTooLarge(f"Send at most {MAX_FIELDS} header fields.")
            if len(lines) != len(fields):
                context.headers = fields = _joined(lines)
                scope["headers"] = list(fields.items())
            if len(b"".join(fields)) + len(b"".join(fields.values())) > MAX_BYTES:
                raise HeadersTooLarge
            host = _host(fields.get(b"host", b""))
            if host is None or host.lastindex is not None:
                _check_unusual(host, scope)
            if b"if-none-match" in fields and scope["method"] not in _READS:
                raise MalformedRequest(
                    "Send If-None-Match with GET or HEAD only; to make a change conditional, send If-Match."
                )
        except AppError as error:
            context.response = problem_response(error, context.request_id)


def _joined(lines: Headers) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        before = fields.get(name)
        if before is None:
            fields[name] = value
        elif name in SINGLETONS:
            raise MalformedRequest(f"Send the header field {name.decode()} once.")
        else:  # HTTP/2 may split cookies (RFC 9113 8.2.3)
            fields[name] = before + (b"; " if name == b"cookie" else b", ") + value
    return fields


def _check_unusual(host: re.Match[bytes] | None, scope: Scope) -> None:
    """Raises MalformedRequest for what is no host, and for none at all but in HTTP/1.0 (RFC 9112 3.2)."""
    if host is not None:
        try:
            IPv6Address(host[1].decode())
        except ValueError:
            host = None
    elif scope.get("http_version") in _VERSION_1_0 and not dict(scope["headers"]).get(b"host"):
        return
    if host is None:
        raise MalformedRequest("Send the header field host once, with the name or the address of this server.")
