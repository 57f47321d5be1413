"""Whoever wrote something reads it, whichever replica answers: the position of the write goes to the client and comes back."""

from typing import Final

from restwell.database.consistency import TOKEN_SECONDS, ConsistencyTokens, SessionConsistency, require_lsn
from restwell.edge.context import Headers, Hook, RequestContext

HEADER: Final = b"consistency-token"
MAX_TOKENS: Final = 8
"""So many are looked at of those that a client has collected."""
_COOKIE: Final = b"consistency-token="


class ReadYourWrites(Hook):
    """Takes the token from its header, or from the cookie that browsers send by themselves; gives a new one after a write."""

    app_requests_only = True

    def __init__(self, tokens: ConsistencyTokens) -> None:
        self._tokens = tokens

    def before(self, context: RequestContext) -> None:
        headers = context.headers
        tokens = [one.strip() for one in headers.get(HEADER, b"").split(b",", MAX_TOKENS)[:MAX_TOKENS]]
        tokens.append(_cookie_in(headers.get(b"cookie", b"")))
        position = max(self._tokens.decode(token) if token else 0 for token in tokens)
        context.consistency = SessionConsistency(position)
        require_lsn(context.consistency)

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        consistency = context.consistency
        if consistency is not None and consistency.lsn > consistency.requested:
            token = self._tokens.encode(consistency.lsn).encode()
            headers.append((HEADER, token))
            cookie = b"%s%s; Max-Age=%d; Path=/; HttpOnly; Secure; SameSite=Lax" % (_COOKIE, token, TOKEN_SECONDS)
            headers.append((b"set-cookie", cookie))


def _cookie_in(value: bytes) -> bytes:
    if _COOKIE not in value:
        return b""
    pairs = (pair.strip() for pair in value.split(b";"))
    return next((pair.removeprefix(_COOKIE) for pair in pairs if pair.startswith(_COOKIE)), b"")
