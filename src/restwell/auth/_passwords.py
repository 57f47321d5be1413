"""Argon2id password hashing in a small thread pool: concurrent logins block neither the event loop nor all cores."""

import asyncio
import ctypes
import os
import sys
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from secrets import token_bytes
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from restwell.auth._password_policy import PasswordPolicy
from restwell.errors import FieldError, Invalid, ServiceUnavailable

T = TypeVar("T")

THREADS: Final = 2
MAX_PENDING: Final = 32
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
"""OWASP's minimum for Argon2id: 19 MiB, two passes, one lane."""


_MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` in glibc's malloc.h."""
_LARGE_BYTES: Final = 1 << 20


class PasswordsBusy(ServiceUnavailable):
    """Too many passwords are waiting to be hashed."""

    code, message = "too_many_sign_ins", "Too many people are signing in right now. Try again shortly."


class PasswordRejected(Invalid):
    """The policy does not accept the new password. The error of the field says why."""

    code = "password_rejected"
    message = "The password policy does not accept this password. Choose another one; see errors."


class Passwords:
    """Hashes and verifies passwords after Unicode NFKC normalization: the same password from any keyboard matches.

    Every method that hashes raises PasswordsBusy when too many calls are pending. ``policy``: the rules of new
    passwords.
    """

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self.policy = PasswordPolicy()
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        _release_memory_after_use()
        self._pool: ThreadPoolExecutor | None = None
        self._pending = 0
        self._dummy_hash = _unmatchable_hash(memory_kib, passes)

    async def hash(self, password: str) -> str:
        """Hash a password with a random salt, in PHC string format."""
        return await self._in_pool(lambda: self._hasher.hash(_normalize(password)))

    async def hash_new(self, password: str, *user_inputs: str, field: str = "$.password") -> str:
        """Hash a newly chosen password.

        ``user_inputs``: what the user has entered, such as name and email address. ``field``: the path of the password
        in the request. Raises PasswordRejected if the policy does not accept it.
        """
        reason = await self.policy.rejection(_normalize(password), user_inputs)
        if reason is not None:
            raise PasswordRejected(errors=[FieldError(field, reason)])
        return await self.hash(password)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Check the password. ``hashed`` is None for an unknown user: it takes the same time and returns False."""
        matches = await self._in_pool(lambda: self._matches(_normalize(password), hashed or self._dummy_hash))
        return matches and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
        """Whether the hash has other Argon2 parameters than the configured ones. Hash again at the next login."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """End the threads. The next call starts them again, as when an application is started twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, call: Callable[[], T]) -> T:
        if self._pending >= MAX_PENDING:
            raise PasswordsBusy
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords", initializer=_lower_thread_priority)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._pending -= 1


def _unmatchable_hash(memory_kib: int, passes: int) -> str:
    """A PHC string with random bytes as its hash: no password matches, and verification takes the usual time."""
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${digest}"


def _normalize(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


@cache
def _release_memory_after_use() -> None:
    """Let glibc return the memory of a hash to the system. By default each thread keeps 19 MiB for the next hash."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def _lower_thread_priority() -> None:
    """Requests go before logins when the CPU is saturated. On Linux each thread has a separate priority."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
