"""How new the data must be that a caller reads: at least as new as what the same caller last wrote.

A position is a place in PostgreSQL's write-ahead log, in bytes from its start. It travels to the client in a signed token and
comes back with the next request, so any node can tell which replica has it already.
"""

import hmac
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextvars import ContextVar
from typing import Final

MAX_LAG_SECONDS: Final = 10.0
"""A replica that is further behind is not read from."""
TOKEN_SECONDS: Final = 30
"""How long a token counts. By then every replica that is read from has what it asks for."""
FURTHEST: Final = 2**63 - 1
"""A position that no replica reaches: what was written is to be read from the primary."""

_MAC_BYTES: Final = 16
_FIELDS: Final = struct.Struct(">QI")


class Freshness:
    """What one request must see: ``asked`` for by its token, and ``position``, which grows with each of its writes."""

    __slots__ = ("asked", "position")

    def __init__(self, asked: int = 0) -> None:
        self.asked = self.position = asked


_current: Final[ContextVar[Freshness | None]] = ContextVar("freshness", default=None)


def demand(freshness: Freshness | None) -> None:
    """This task, and those it starts, must see at least this; None, what everyone has written, which the primary has."""
    _current.set(freshness)


def demanded() -> int | None:
    """The position that must be seen here; None where nobody knows, and only the primary will do."""
    freshness = _current.get()
    return freshness.position if freshness is not None else None


def wrote(position: int) -> None:
    """What was written here is in the log up to ``position``."""
    freshness = _current.get()
    if freshness is not None:
        freshness.position = max(freshness.position, position)


class FreshnessTokens:
    """Makes and reads the tokens; only ours count, so that no one can send every read to the primary."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, position: int) -> str:
        body = _FIELDS.pack(position, int(time.time()))
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def decode(self, token: bytes) -> int:
        """The position; 0 for a token that has expired or is not one of ours."""
        try:
            raw = urlsafe_b64decode(token + b"=" * (-len(token) % 4))
            position, made = _FIELDS.unpack(raw[_MAC_BYTES:])
        except (ValueError, struct.error):
            return 0
        if not hmac.compare_digest(raw[:_MAC_BYTES], self._mac(raw[_MAC_BYTES:])):
            return 0
        return int(position) if time.time() - made <= TOKEN_SECONDS else 0

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]
