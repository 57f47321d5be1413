"""Exponential backoff of failed sign-ins, per account and client network.

Unknown accounts are throttled like existing ones. Only a hash of account and network is stored. An attacker cannot lock
the owner out: the owner signs in from another network.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.accounts._throttle import queries
from restwell.auth._login_failures import LOGIN_FAILURES
from restwell.client_ip import network_of
from restwell.database import Database, Transaction
from restwell.errors import AppError
from restwell.retention import DeletesExpired

FREE_ATTEMPTS: Final = 5
"""Failures before the first wait."""
MAX_WAIT: Final = timedelta(minutes=15)
RESET_AFTER: Final = timedelta(days=1)

Reason = Literal["password", "second_factor"]


class TooManyAttempts(AppError):
    code, status = "too_many_attempts", 429
    message = "Too many failed attempts. Retry after the time in Retry-After, or reset the password."

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})


class LoginThrottle(DeletesExpired, Collector):
    """Its counts are a metric: by reason, never by account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._failures: Counter[str] = Counter({"password": 0, "second_factor": 0, "throttled": 0})

    def collect(self) -> Iterator[Metric]:
        yield LOGIN_FAILURES.family(self._failures)

    async def check(self, key_hash: bytes, tx: Transaction | None = None) -> None:
        """Raises TooManyAttempts while the account is throttled. The wait doubles with each failure, up to MAX_WAIT."""
        failed = await (tx or self._database.primary).find(queries.by_key, key_hash=key_hash)
        if failed is None or failed.count < FREE_ATTEMPTS:
            return
        wait = min(timedelta(seconds=2.0 ** min(failed.count - FREE_ATTEMPTS, 20)), MAX_WAIT)
        left = failed.last_failed_at + wait - datetime.now(UTC)
        if left > timedelta(0):
            self._failures["throttled"] += 1
            raise TooManyAttempts(retry_after_seconds=int(left.total_seconds()) + 1)

    async def record_failure(self, key_hash: bytes, reason: Reason) -> None:
        """Count a failure in a separate transaction."""
        async with self._database.transaction() as tx:
            await self.record_failure_in(tx, key_hash)
        self._failures[reason] += 1

    async def record_failure_in(self, tx: Transaction, key_hash: bytes, reason: Reason | None = None) -> None:
        """Count a failure in the caller's transaction. Without a ``reason`` it is not in the metric."""
        if reason is not None:
            self._failures[reason] += 1
        now = datetime.now(UTC)
        await tx.run(queries.insert_failure, key_hash=key_hash, now=now, reset_before=now - RESET_AFTER)

    async def reset_in(self, tx: Transaction, key_hash: bytes) -> None:
        """Reset the count after a success, in the caller's transaction."""
        await tx.run(queries.reset, key_hash=key_hash)

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of counts that are reset anyway. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now - RESET_AFTER)


def throttle_key(account: str, address: str) -> bytes:
    """SHA-256 of account and network: an IPv4 address, or the /64 prefix of an IPv6 address."""
    return hashlib.sha256(f"{account}\n{network_of(address)}".encode()).digest()
