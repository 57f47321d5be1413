"""Passwords are hashed with the Argon2id parameters of OWASP, in a bounded pool."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from restwell.auth import PasswordRejected, Passwords
from restwell.auth import _passwords as passwords


@pytest.fixture
def fast() -> Iterator[Passwords]:
    made = Passwords(memory_kib=8_192, passes=1)
    yield made
    made.close()


async def test_a_hash_verifies_its_password_and_no_other() -> None:
    checker = Passwords()
    hashed = await checker.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await checker.verify("correct horse", hashed)
    assert not await checker.verify("correct horses", hashed)
    assert not await checker.verify("the password of no account", None)
    assert not await checker.verify("correct horse", "not a hash")
    assert await checker.hash("correct horse") != hashed
    checker.close()


async def test_every_unicode_form_of_a_password_verifies(fast: Passwords) -> None:
    """Breaks without NFKC: one keyboard sends a composed letter, another the letter and a combining accent."""
    hashed = await fast.hash("caf\u00e9 au lait \ufb01n")
    assert await fast.verify("cafe\u0301 au lait fin", hashed)
    assert not await fast.verify("cafe au lait fin", hashed)


async def test_a_new_password_that_the_policy_rejects_is_refused_by_field(fast: Passwords) -> None:
    """Breaks without the policy, and without the normalization of what it checks."""
    password = "\uff50assword"
    with pytest.raises(PasswordRejected) as refused:
        await fast.hash_new(password)
    assert [fault.path for fault in refused.value.errors] == ["$.password"]
    with pytest.raises(PasswordRejected) as refused:
        await fast.hash_new("Ada Lovelace", "Ada Lovelace", field="$.new_password")
    (fault,) = refused.value.errors
    assert (fault.path, fault.message.partition(".")[0]) == ("$.new_password", "This password is too common")
    assert await fast.verify(password, await fast.hash(password)), "who has one already may sign in"


async def test_an_uncommon_password_is_accepted(fast: Passwords) -> None:
    hashed = await fast.hash_new("correct horse battery staple", "ada@example.com", "Ada Lovelace")
    assert await fast.verify("correct horse battery staple", hashed)


async def test_passwords_are_hashed_after_close_too(fast: Passwords) -> None:
    """Fails with one pool for ever: the second start of an application in a test then cannot sign anybody in."""
    for _ in range(2):
        assert await fast.verify("correct horse", await fast.hash("correct horse"))
        fast.close()


async def test_hashing_threads_have_a_lower_priority(fast: Passwords) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has a priority per thread")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert await fast._in_pool(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == 10
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_a_hash_with_weaker_parameters_is_outdated() -> None:
    weak, strong = Passwords(memory_kib=8_192, passes=1), Passwords()
    hashed = await weak.hash("x")
    assert strong.needs_rehash(hashed)
    assert not weak.needs_rehash(hashed)
    weak.close()
    strong.close()


async def test_callers_beyond_the_queue_are_refused_and_the_others_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the queue is unbounded: a flood of logins waits for minutes instead of a 503."""
    monkeypatch.setattr(passwords, "MAX_PENDING", 4)
    checker = Passwords(memory_kib=8_192, passes=1)
    found = await asyncio.gather(*(checker.hash("x") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(item, passwords.PasswordsBusy) for item in found) == 6
    assert (await checker.hash("x")).startswith("$argon2id$")
    checker.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory")
def test_the_memory_of_a_hash_is_returned_to_the_system() -> None:
    """Breaks without the allocator threshold: each thread then keeps 19 MiB."""
    program = """
import asyncio
from pathlib import Path
from restwell.auth import Passwords

async def main():
    passwords = Passwords()
    await asyncio.gather(*(passwords.hash("correct horse") for _ in range(4)))
    passwords.close()

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024

before = held()
asyncio.run(main())
print(held() - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 15, "MiB more than before"
