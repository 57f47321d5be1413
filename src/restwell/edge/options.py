"""OPTIONS: which methods an address has (RFC 9110 9.3.7). Anyone may ask."""

import re
from collections.abc import Sequence

from restwell.edge.context import Hook, RequestContext


class Options(Hook):
    """``methods`` are those of each route, by what its addresses look like."""

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
