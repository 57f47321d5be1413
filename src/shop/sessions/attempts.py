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

FREE: Final = 5
"""So many guesses cost nothing: people mistype."""
LONGEST: Final = timedelta(minutes=15)
FORGOTTEN: Final = timedelta(days=1)


class TooManyAttempts(AppError):
    code, status = "too_many_attempts", 429
    message = "Too many wrong passwords. Wait as long as Retry-After says, or ask for a new password."

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})


class Failed(Struct, frozen=True):
    count: int
    last_at: datetime


_row: Final = {"subject": param("subject"), "count": 1, "last_at": param("now")}
_again: Final = {
    "count": case((failed_attempts.c.last_at < param("forgotten"), 1), else_=failed_attempts.c.count + 1),
    "last_at": param("now"),
}
of_subject: Final = query(
    "attempts.of_subject",
    select(failed_attempts.c.count, failed_attempts.c.last_at).where(failed_attempts.c.subject == param("subject")),
    into=Failed,
)
fail: Final = query(
    "attempts.fail",
    {
        "postgresql": postgresql.insert(failed_attempts)
        .values(_row)
        .on_conflict_do_update(index_elements=["subject"], set_=_again),
        "sqlite": sqlite.insert(failed_attempts)
        .values(_row)
        .on_conflict_do_update(index_elements=["subject"], set_=_again),
    },
)
forget: Final = query("attempts.forget", delete(failed_attempts).where(failed_attempts.c.subject == param("subject")))


class Attempts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, subject: bytes, tx: Transaction | None = None) -> None:
        """Raises TooManyAttempts while the time since the last wrong guess is too short for another."""
        failed = await (tx or self._database.primary).find(of_subject, subject=subject)
        if failed is None or failed.count < FREE:
            return
        wait = min(timedelta(seconds=2.0 ** min(failed.count - FREE, 20)), LONGEST)
        left = failed.last_at + wait - datetime.now(UTC)
        if left > timedelta(0):
            raise TooManyAttempts(retry_after_seconds=int(left.total_seconds()) + 1)

    async def failed(self, subject: bytes) -> None:
        """Count a wrong guess."""
        async with self._database.transaction() as tx:
            await self.failed_in(tx, subject)

    async def failed_in(self, tx: Transaction, subject: bytes) -> None:
        """The same as part of a larger change."""
        now = datetime.now(UTC)
        await tx.run(fail, subject=subject, now=now, forgotten=now - FORGOTTEN)

    async def succeeded(self, tx: Transaction, subject: bytes) -> None:
        """The right password: those before it were mistyped."""
        await tx.run(forget, subject=subject)


def subject_of(account: str, address: str) -> bytes:
    """An account as it is guessed at from one network: an IPv4 address, or the /64 that one connection has of IPv6."""
    return hashlib.sha256(f"{account}\n{network_of(address)}".encode()).digest()
