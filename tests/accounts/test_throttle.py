"""The login throttle: failures beyond the free attempts wait, per account and network."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select, update

from accounts_app import PASSWORD
from api_client import assert_problem
from restwell.accounts._throttle import service as login_throttle
from restwell.accounts._throttle.models import failed_attempts
from restwell.accounts._throttle.service import FREE_ATTEMPTS, RESET_AFTER, LoginThrottle, TooManyAttempts, throttle_key
from restwell.database import Database, param, query
from restwell.testing import ApiClient

OWNER = "member@app.example"
_age = query("test.age_attempts", update(failed_attempts).values(last_failed_at=param("last_at")))
_count = query("test.count_attempts", select(failed_attempts.c.count).limit(100), into=int)


async def guess(client: httpx.AsyncClient, email: str = OWNER, word: str = "a wrong one") -> httpx.Response:
    return await client.post("/v1/sessions", json={"email": email, "password": word})


@pytest.mark.parametrize("email", [OWNER, "nobody@app.example"])
async def test_a_guess_after_the_free_attempts_has_to_wait(
    client: httpx.AsyncClient, database: Database, email: str
) -> None:
    """Fails without the check. Unknown accounts are throttled too, so that they are indistinguishable."""
    for _ in range(FREE_ATTEMPTS):
        assert_problem(await guess(client, email), 401, "invalid_credentials")
    await database.run(_age, last_at=datetime.now(UTC))  # on a busy machine the second may be over
    answer = await guess(client, email, PASSWORD)
    assert_problem(answer, 429, "too_many_attempts")
    assert answer.headers["retry-after"] == "1"
    assert (await guess(client, "other@app.example", PASSWORD)).status_code == 201, "another account is another matter"
    metrics = (await client.get("/metrics")).text
    assert f'restwell_login_failures_total{{reason="password"}} {FREE_ATTEMPTS}.0' in metrics
    assert 'restwell_login_failures_total{reason="throttled"} 1.0' in metrics
    assert "@" not in metrics, "no metric names an account"


async def test_the_wait_after_wrong_passwords_doubles_up_to_a_quarter_of_an_hour(
    client: httpx.AsyncClient, database: Database
) -> None:
    for _ in range(FREE_ATTEMPTS):
        await guess(client)
    for expected in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        waited = timedelta(seconds=expected)
        await database.run(_age, last_at=datetime.now(UTC) - waited + timedelta(seconds=0.9))
        assert_problem(await guess(client), 429, "too_many_attempts")
        await database.run(_age, last_at=datetime.now(UTC) - waited)
        assert_problem(await guess(client), 401, "invalid_credentials")
    await database.run(_age, last_at=datetime.now(UTC) - timedelta(minutes=15))
    assert (await guess(client, word=PASSWORD)).status_code == 201
    assert await database.all(_count) == [], "a successful sign-in resets the count"


async def test_an_old_failed_attempt_does_not_count(client: httpx.AsyncClient, database: Database) -> None:
    for _ in range(FREE_ATTEMPTS):
        await guess(client)
    await database.run(_age, last_at=datetime.now(UTC) - RESET_AFTER - timedelta(seconds=1))
    await guess(client)
    assert await database.all(_count) == [1]


async def test_an_attacker_cannot_lock_the_owner_out(client: httpx.AsyncClient, database: Database) -> None:
    """Fails if failures are counted per account only."""
    counted = LoginThrottle(database)
    for _ in range(50):
        await counted.record_failure(throttle_key(OWNER, "203.0.113.7"), "password")
    with pytest.raises(TooManyAttempts):
        await counted.check(throttle_key(OWNER, "203.0.113.7"))
    await ApiClient(client).sign_in(OWNER, PASSWORD)


def test_failed_attempts_are_counted_by_address_or_ipv6_64_network() -> None:
    assert throttle_key(OWNER, "2001:db8::1") == throttle_key(OWNER, "2001:db8:0:0:ffff::2")
    assert throttle_key(OWNER, "2001:db8::1") != throttle_key(OWNER, "2001:db8:0:1::1")
    assert throttle_key(OWNER, "203.0.113.7") != throttle_key(OWNER, "203.0.113.8")
    assert throttle_key(OWNER, "") != throttle_key("another@app.example", "")
    assert login_throttle.MAX_WAIT < RESET_AFTER
