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
MAX_LSN: Final = 2**63 - 1
"""A position that no replica reaches: what was written is to be read from the primary."""

_MAC_BYTES: Final = 16
_FIELDS: Final = struct.Struct(">QI")


class SessionConsistency:
    """The log position that one request needs: ``requested`` by its token, and ``lsn``, which advances with its writes."""

    __slots__ = ("lsn", "requested")

    def __init__(self, requested: int = 0) -> None:
        self.requested = self.lsn = requested


_current: Final[ContextVar[SessionConsistency | None]] = ContextVar("consistency", default=None)


def require_lsn(consistency: SessionConsistency | None) -> None:
    """Set what reads of this task, and of the tasks it starts, must see; None sends them to the primary."""
    _current.set(consistency)


def required_lsn() -> int | None:
    """The log position that a replica needs for a read of this task; None if only the primary will do."""
    consistency = _current.get()
    return consistency.lsn if consistency is not None else None


def record_lsn(lsn: int) -> None:
    """Note that this task's writes are in the log up to ``lsn``."""
    consistency = _current.get()
    if consistency is not None:
        consistency.lsn = max(consistency.lsn, lsn)


class ConsistencyTokens:
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
