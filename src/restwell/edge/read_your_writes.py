"""Whoever wrote something reads it, whichever replica answers: the position of the write goes to the client and comes back."""

from typing import Final

from restwell.database.freshness import TOKEN_SECONDS, Freshness, FreshnessTokens, demand
from restwell.edge.exchange import Concern, Exchange, Headers

HEADER: Final = b"consistency-token"
_COOKIE: Final = b"consistency-token="


class ReadYourWrites(Concern):
    """Takes the token from its header, or from the cookie that browsers send by themselves; gives a new one after a write."""

    inside = True

    def __init__(self, tokens: FreshnessTokens) -> None:
        self._tokens = tokens

    def before(self, exchange: Exchange) -> None:
        position = 0
        for name, value in exchange.scope["headers"]:
            if name == HEADER:
                position = max(position, self._tokens.decode(value))
            elif name == b"cookie" and _COOKIE in value:
                position = max(position, self._tokens.decode(_cookie_in(value)))
        exchange.freshness = Freshness(position)
        demand(exchange.freshness)

    def on_response(self, exchange: Exchange, headers: Headers) -> None:
        freshness = exchange.freshness
        if freshness is not None and freshness.position > freshness.asked:
            token = self._tokens.encode(freshness.position).encode()
            headers.append((HEADER, token))
            cookie = b"%s%s; Max-Age=%d; Path=/; HttpOnly; Secure; SameSite=Lax" % (_COOKIE, token, TOKEN_SECONDS)
            headers.append((b"set-cookie", cookie))


def _cookie_in(value: bytes) -> bytes:
    pairs = (pair.strip() for pair in value.split(b";"))
    return next((pair.removeprefix(_COOKIE) for pair in pairs if pair.startswith(_COOKIE)), b"")
