"""Password hashes: Argon2id in a few threads, so that a flood of log-ins never takes the event loop or all cores."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from restwell.errors import ServiceUnavailable

T = TypeVar("T")

THREADS: Final = 2
WAITING: Final = 32
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
"""OWASP's minimum for Argon2id: 19 MiB, two passes, one lane."""


class PasswordsBusy(ServiceUnavailable):
    code, message = "too_many_sign_ins", "Too many people are signing in right now. Try again shortly."


class Passwords:
    """Hashes and verifies. Both raise PasswordsBusy once too many callers wait."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._pending = 0
        self._nobody = self._hasher.hash("the password of no account")

    async def hash(self, password: str) -> str:
        return await self._in_pool(lambda: self._hasher.hash(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the hashed one. None, for an unknown user, takes as long and is never right."""
        right = await self._in_pool(lambda: self._matches(password, hashed or self._nobody))
        return right and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters, and should be made anew at this log-in."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, call: Callable[[], T]) -> T:
        if self._pending >= WAITING:
            raise PasswordsBusy
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._pending -= 1
