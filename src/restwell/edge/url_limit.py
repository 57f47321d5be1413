"""How long an address may be. What parses it, keeps it or writes it down need not cope with more."""

from typing import Final

from restwell.edge.exchange import Concern, Exchange
from restwell.edge.problem import problem_reply
from restwell.errors import UriTooLong

MAX_BYTES: Final = 8_000
"""What RFC 9110 4.1 recommends to support, and no more."""


class UrlLimit(Concern):
    def before(self, exchange: Exchange) -> None:
        scope = exchange.scope
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_BYTES:
            exchange.answer = problem_reply(UriTooLong(), exchange.request_id)
