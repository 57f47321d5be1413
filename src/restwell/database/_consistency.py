"""Read-your-writes consistency on replicas.

An LSN is a position in PostgreSQL's write-ahead log, in bytes. A signed token carries the LSN of a client's last write
to the client and back, so that any node knows which replicas have replayed it.
"""

import hmac
import struct
import time
from contextvars import ContextVar
from typing import Final

from restwell import _base64url as base64url

MAX_LAG_SECONDS: Final = 10.0
"""A replica that lags more is not read from."""
TOKEN_SECONDS: Final = 30
"""Lifetime of a token. It is longer than MAX_LAG_SECONDS, so every replica in use has the LSN when the token
expires."""
MAX_LSN: Final = 2**63 - 1
"""An LSN that no replica reaches, so that reads go to the primary."""

_MAC_BYTES: Final = 16
_FIELDS: Final = struct.Struct(">QI")


class SessionConsistency:
    """The log position that one request needs.

    ``requested`` is from its token. ``lsn`` advances with its writes.
    """

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
    """Signs and verifies consistency tokens, so that a client cannot forge one and send every read to the primary."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, lsn: int) -> str:
        body = _FIELDS.pack(lsn, int(time.time()))
        return base64url.encode(self._mac(body) + body)

    def decode(self, token: bytes) -> int:
        """The LSN; 0 for an expired or invalid token."""
        try:
            raw = base64url.decode(token.decode("ascii"))
            lsn, issued_at = _FIELDS.unpack(raw[_MAC_BYTES:])
        except (ValueError, struct.error):
            return 0
        if not hmac.compare_digest(raw[:_MAC_BYTES], self._mac(raw[_MAC_BYTES:])):
            return 0
        return int(lsn) if time.time() - issued_at <= TOKEN_SECONDS else 0

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]
