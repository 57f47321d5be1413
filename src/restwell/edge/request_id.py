"""A request id for every request: the caller's own if it is well formed, else a new one; on the answer and in every log line."""

import re
from typing import Final

import structlog

from restwell.edge.exchange import Concern, Exchange, Headers
from restwell.ids import new_id_text

HEADER: Final = b"x-request-id"
_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestId(Concern):
    def before(self, exchange: Exchange) -> None:
        value = exchange.headers.get(HEADER)
        if value is not None and _WELL_FORMED.fullmatch(value):
            exchange.request_id = value.decode("ascii")
        else:
            exchange.request_id = new_id_text()

    def on_response(self, exchange: Exchange, headers: Headers) -> None:
        headers.append((HEADER, exchange.request_id.encode()))


class LogContext(Concern):
    """The request id in every line that is logged on the way."""

    inside = True

    def before(self, exchange: Exchange) -> None:
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)

    def after(self, exchange: Exchange) -> None:  # noqa: ARG002  # a Concern's signature
        structlog.contextvars.unbind_contextvars("request_id")
