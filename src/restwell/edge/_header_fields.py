"""Normalisation and validation of the header fields of a request (RFC 9110 5.3): each name has one value.

Repeated list fields are joined. A repeated field that identifies the caller or the host, or determines how the request
is parsed, is rejected: a proxy may have evaluated the other line.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from restwell.edge._context import Headers, Hook, RequestContext, Scope
from restwell.errors import HeadersTooLarge, MalformedRequest

MAX_FIELDS: Final = 80
"""The server accepts 100 lines, which is not configurable, and rejects more without a response body."""
MAX_BYTES: Final = 32_768
"""The limit on all names and values.

The server accepts twice as much (server.py), so that this limit responds with a problem.
"""

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
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""A server ignores the conditions of OPTIONS and TRACE (RFC 9110 13.2.1)."""
_VERSION_1_0: Final = frozenset({"1.0", "1"})
"""Granian uses the second spelling."""
_host: Final = lru_cache(64)(
    re.compile(
        rb"(?:[0-9A-Za-z._-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])"
        rb"(?::(?:[0-9]{0,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    ).fullmatch
)


class HeaderFields(Hook):
    """Must precede the hooks that read headers.

    Responds with 400 to a request with a missing, invalid or repeated Host, or another repeated singleton field, and
    with 431 to too many or too large fields. Also with 400 to If-None-Match of a change, which the kit does not
    evaluate, unless the application does.
    """

    def __init__(self, *, app_evaluates_conditions: bool = False) -> None:
        self._app_evaluates_conditions = app_evaluates_conditions

    def admit(self, context: RequestContext) -> None:
        scope, fields = context.scope, context.headers
        lines: Headers = scope["headers"]
        if len(lines) > MAX_FIELDS:
            raise HeadersTooLarge(f"Send at most {MAX_FIELDS} header fields.")
        if len(lines) != len(fields):
            context.headers = fields = _joined(lines)
            scope["headers"] = list(fields.items())
        if len(b"".join([*fields, *fields.values()])) > MAX_BYTES:
            raise HeadersTooLarge
        host = _host(fields.get(b"host", b""))
        if host is None or host.lastindex is not None:
            _check_host(host, scope)
        if b"if-none-match" in fields and context.method not in _READS and not self._app_evaluates_conditions:
            raise MalformedRequest(
                "Send If-None-Match with GET or HEAD only; to make a change conditional, send If-Match."
            )


def _joined(lines: Headers) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        previous = fields.get(name)
        if previous is None:
            fields[name] = value
        elif name in SINGLETONS:
            raise MalformedRequest(f"Send the header field {name.decode()} once.")
        else:  # HTTP/2 may split cookies (RFC 9113 8.2.3)
            fields[name] = previous + (b"; " if name == b"cookie" else b", ") + value
    return fields


def _check_host(host: re.Match[bytes] | None, scope: Scope) -> None:
    """Raises MalformedRequest for an invalid host, and for a missing one unless the request is HTTP/1.0 (RFC 9112
    3.2).
    """
    if host is not None:
        try:
            IPv6Address(host[1].decode())
        except ValueError:
            host = None
    elif scope.get("http_version") in _VERSION_1_0 and not dict(scope["headers"]).get(b"host"):
        return
    if host is None:
        raise MalformedRequest("Send the header field host once, with the name or the address of this server.")
