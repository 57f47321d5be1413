"""Passwords: Argon2id as OWASP asks, in a bounded pool."""

import asyncio

import pytest

from restwell.auth import Passwords, passwords


async def test_knows_the_right_password_and_no_other() -> None:
    checker = Passwords()
    hashed = await checker.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await checker.verify("correct horse", hashed)
    assert not await checker.verify("correct horses", hashed)
    assert not await checker.verify("the password of no account", None)
    assert not await checker.verify("correct horse", "not a hash")
    assert await checker.hash("correct horse") != hashed
    checker.close()


async def test_says_when_a_hash_is_outdated() -> None:
    weak, strong = Passwords(memory_kib=8_192, passes=1), Passwords()
    hashed = await weak.hash("x")
    assert strong.is_outdated(hashed)
    assert not weak.is_outdated(hashed)
    weak.close()
    strong.close()


async def test_refuses_callers_beyond_the_queue_and_serves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the queue has no bound: a flood of log-ins then waits for minutes instead of being told to."""
    monkeypatch.setattr(passwords, "WAITING", 4)
    checker = Passwords(memory_kib=8_192, passes=1)
    found = await asyncio.gather(*(checker.hash("x") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(item, passwords.PasswordsBusy) for item in found) == 6
    assert (await checker.hash("x")).startswith("$argon2id$")
    checker.close()
