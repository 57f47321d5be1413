"""The limit on the length of a request target."""

from typing import Final

from restwell.edge._context import Hook, RequestContext
from restwell.errors import UriTooLong

MAX_BYTES: Final = 8_000
"""The length that RFC 9110 4.1 recommends to support."""


class UrlLimit(Hook):
    """Refuses a path and query string of more than MAX_BYTES with 414."""

    def admit(self, context: RequestContext) -> None:
        scope = context.scope
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_BYTES:
            raise UriTooLong
