"""Guessing takes longer and longer: each guess at an account from one network after the first few waits twice as long as the last.

Counted by account and network together, so that a stranger who guesses makes nobody wait but himself. Accounts that do not exist are
counted alike, and nothing is stored of either but a hash.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from restwell.client_ip import network_of
from restwell.database import Database, Transaction, param, query
from restwell.errors import AppError
from shop.sessions.models import failed_attempts

FREE_ATTEMPTS: Final = 5
"""So many guesses cost nothing: people mistype."""
MAX_WAIT: Final = timedelta(minutes=15)
RESET_AFTER: Final = timedelta(days=1)


class TooManyAttempts(AppError):
    code, status = "too_many_attempts", 429
    message = "Too many wrong passwords. Wait as long as Retry-After says, or ask for a new password."

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})


class FailedAttempts(Struct, frozen=True):
    count: int
    last_failed_at: datetime


_row: Final = {"key_hash": param("key_hash"), "count": 1, "last_failed_at": param("now")}
_again: Final = {
    "count": case((failed_attempts.c.last_failed_at < param("forgotten"), 1), else_=failed_attempts.c.count + 1),
    "last_failed_at": param("now"),
}
by_key: Final = query(
    "login_throttle.by_key",
    select(failed_attempts.c.count, failed_attempts.c.last_failed_at).where(
        failed_attempts.c.key_hash == param("key_hash")
    ),
    into=FailedAttempts,
)
insert_failure: Final = query(
    "login_throttle.record_failure",
    {
        "postgresql": postgresql.insert(failed_attempts)
        .values(_row)
        .on_conflict_do_update(index_elements=["key_hash"], set_=_again),
        "sqlite": sqlite.insert(failed_attempts)
        .values(_row)
        .on_conflict_do_update(index_elements=["key_hash"], set_=_again),
    },
)
reset: Final = query(
    "login_throttle.reset", delete(failed_attempts).where(failed_attempts.c.key_hash == param("key_hash"))
)


class LoginThrottle:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, key_hash: bytes, tx: Transaction | None = None) -> None:
        """Raises TooManyAttempts while the time since the last wrong guess is too short for another."""
        failed = await (tx or self._database.primary).find(by_key, key_hash=key_hash)
        if failed is None or failed.count < FREE_ATTEMPTS:
            return
        wait = min(timedelta(seconds=2.0 ** min(failed.count - FREE_ATTEMPTS, 20)), MAX_WAIT)
        left = failed.last_failed_at + wait - datetime.now(UTC)
        if left > timedelta(0):
            raise TooManyAttempts(retry_after_seconds=int(left.total_seconds()) + 1)

    async def record_failure(self, key_hash: bytes) -> None:
        """Count a wrong guess."""
        async with self._database.transaction() as tx:
            await self.record_failure_in(tx, key_hash)

    async def record_failure_in(self, tx: Transaction, key_hash: bytes) -> None:
        """The same as part of a larger change."""
        now = datetime.now(UTC)
        await tx.run(insert_failure, key_hash=key_hash, now=now, forgotten=now - RESET_AFTER)

    async def reset_in(self, tx: Transaction, key_hash: bytes) -> None:
        """The right password: those before it were mistyped."""
        await tx.run(reset, key_hash=key_hash)


def throttle_key(account: str, address: str) -> bytes:
    """An account as it is guessed at from one network: an IPv4 address, or the /64 that one connection has of IPv6."""
    return hashlib.sha256(f"{account}\n{network_of(address)}".encode()).digest()
