"""Responses to OPTIONS requests (RFC 9110 9.3.7), without authentication."""

import re
from collections.abc import Sequence

from restwell.edge._context import Hook, RequestContext


class Options(Hook):
    """``methods`` maps path patterns to the value of the Allow header."""

    def __init__(self, methods: Sequence[tuple[re.Pattern[str], str]]) -> None:
        self._methods = methods

    def before(self, context: RequestContext) -> None:
        scope = context.scope
        if scope["method"] != "OPTIONS":
            return
        for pattern, methods in self._methods:
            if pattern.fullmatch(scope["path"]):
                context.response = 204, [(b"allow", methods.encode())], b""
                return
