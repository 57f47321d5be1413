"""Read-your-writes consistency on replicas.

An LSN is a position in PostgreSQL's write-ahead log, in bytes. A signed token carries the LSN of a client's last write
to the client and back, so that any node knows which replicas have replayed it.
"""

import time
from contextvars import ContextVar
from typing import Final

from restwell._signing import SignedTokens

MAX_LAG_SECONDS: Final = 10.0
"""A replica that lags more is not read from."""
TOKEN_SECONDS: Final = 30
"""Lifetime of a token. It is longer than MAX_LAG_SECONDS, so every replica in use has the LSN when the token
expires."""
MAX_LSN: Final = 2**63 - 1
"""An LSN that no replica reaches, so that reads go to the primary."""

_SCOPE: Final = "consistency"


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
        self._tokens = SignedTokens(key)

    def encode(self, lsn: int) -> str:
        return self._tokens.encode(_SCOPE, (lsn, int(time.time())))

    def decode(self, token: bytes) -> int:
        """The LSN; 0 for an expired or invalid token."""
        try:
            lsn, issued_at = self._tokens.decode(_SCOPE, token.decode("ascii"), tuple[int, int])
        except ValueError:
            return 0
        return lsn if time.time() - issued_at <= TOKEN_SECONDS else 0
