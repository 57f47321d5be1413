"""Read-your-writes across replicas: the client receives the LSN of its last write as a token and sends it with later
requests.
"""

from typing import Final

from restwell.database._consistency import TOKEN_SECONDS, ConsistencyTokens, SessionConsistency, require_lsn
from restwell.edge._context import Headers, Hook, RequestContext

HEADER: Final = b"consistency-token"
MAX_TOKENS: Final = 8
"""The number of tokens that are read if a client sends several."""
_COOKIE: Final = b"consistency-token="


class ReadYourWrites(Hook):
    """Reads the token from its header, or from the cookie that browsers send; returns a new one after a write."""

    def __init__(self, tokens: ConsistencyTokens) -> None:
        self._tokens = tokens

    def admit(self, context: RequestContext) -> None:
        headers = context.headers
        tokens = [one.strip() for one in headers.get(HEADER, b"").split(b",", MAX_TOKENS)[:MAX_TOKENS]]
        tokens.append(_cookie_token(headers.get(b"cookie", b"")))
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


def _cookie_token(value: bytes) -> bytes:
    if _COOKIE not in value:
        return b""
    pairs = (pair.strip() for pair in value.split(b";"))
    return next((pair.removeprefix(_COOKIE) for pair in pairs if pair.startswith(_COOKIE)), b"")
