"""The request id: the value of X-Request-Id if it is well formed, else a new id.

It is in the response, and in every log line through the trace (``_tracing.py``).
"""

import re
from typing import Final

from restwell.edge._context import Headers, Hook, RequestContext
from restwell.ids import new_id_text

HEADER: Final = b"x-request-id"
_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestId(Hook):
    """Uses a well-formed X-Request-Id of the client, or generates a UUIDv7, and returns it in the response."""

    def admit(self, context: RequestContext) -> None:
        value = context.headers.get(HEADER)
        if value is not None and _WELL_FORMED.fullmatch(value):
            context.request_id = value.decode("ascii")
        else:
            context.request_id = new_id_text()

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        headers.append((HEADER, context.request_id.encode()))
