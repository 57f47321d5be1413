"""Sessions: sign-in, refresh, sign-out, and the rejection of invalid credentials and tokens."""

import asyncio
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from joserfc import jwt
from sqlalchemy import update

from accounts_app import PASSWORD
from api_client import assert_problem
from cases import each
from restwell import App
from restwell.accounts._sessions import service
from restwell.accounts._sessions.models import refresh_tokens, sessions
from restwell.accounts._throttle.service import FREE_ATTEMPTS
from restwell.auth._signing_keys import from_secrets
from restwell.database import Database, param, query
from restwell.settings import Settings
from restwell.testing import ApiClient

_age_tokens = query("test.age_tokens", update(refresh_tokens).values(used_at=param("used_at")))
_leave_sessions = query("test.leave_sessions", update(sessions).values(last_used_at=param("last_used_at")))
_expire_sessions = query("test.expire_sessions", update(sessions).values(expires_at=param("expires_at")))


async def refresh(api: ApiClient, token: str) -> httpx.Response:
    return await api.client.post("/v1/sessions/refresh", json={"refresh_token": token})


async def test_signing_in_returns_a_pair_of_tokens(member: ApiClient) -> None:
    assert member.tokens["token_type"] == "Bearer"
    assert member.tokens["expires_in"] == 900
    assert (await member.get("/v1/users/me")).status_code == 200


async def test_a_wrong_password_and_an_unknown_user_get_the_same_response(anyone: ApiClient) -> None:
    bodies = []
    for email in ("member@app.example", "nobody@app.example"):
        answer = await anyone.send("POST", "/v1/sessions", {"email": email, "password": "wrong password"})
        problem = assert_problem(answer, 401, "invalid_credentials")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        bodies.append({**problem, "request_id": ""})
    assert bodies[0] == bodies[1]


@pytest.mark.slow
@pytest.mark.usefixtures("production_cost")
async def test_a_wrong_password_and_an_unknown_user_cost_the_same_cpu_time(anyone: ApiClient) -> None:
    """Fails if verify() returns early for an unknown user, which costs a tenth of the time.

    CPU time of this process, because the threads of password hashing have a low priority on a busy machine. The time of
    the response is measured in ``system/test_sessions.py``.
    """
    seconds: dict[str, list[float]] = {"member@app.example": [], "nobody@app.example": []}
    for _ in range(FREE_ATTEMPTS):
        for email, taken in seconds.items():
            start = time.process_time()
            answer = await anyone.send("POST", "/v1/sessions", {"email": email, "password": "wrong password"})
            taken.append(time.process_time() - start)
            assert_problem(answer, 401, "invalid_credentials")
    known, unknown = (min(taken) for taken in seconds.values())
    assert 0.3 < known / unknown < 3


@pytest.mark.parametrize("change", ["password_hash = 'another'", "active = false"])
async def test_an_account_that_changes_during_a_sign_in_refuses_it(
    client: httpx.AsyncClient, app: App, database: Database, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Fails without the second check: the old password creates a session after all sessions were revoked."""
    verify = app.kit.passwords.verify

    async def verify_slowly(password: str, hashed: str | None) -> bool:
        right = await verify(password, hashed)
        async with database.transaction() as tx:
            await tx.run_script(f"UPDATE users SET {change} WHERE email = 'member@app.example'")
        return right

    monkeypatch.setattr(app.kit.passwords, "verify", verify_slowly)
    credentials = {"email": "member@app.example", "password": PASSWORD}
    assert_problem(await client.post("/v1/sessions", json=credentials), 401, "invalid_credentials")


async def test_refreshing_replaces_both_tokens(member: ApiClient) -> None:
    answer = await refresh(member, member.tokens["refresh_token"])
    assert answer.status_code == 200
    pair = answer.json()
    assert pair["refresh_token"] != member.tokens["refresh_token"]
    member.tokens = pair
    assert (await member.get("/v1/users/me")).status_code == 200


async def test_concurrent_refreshes_of_one_token_return_one_successor(member: ApiClient) -> None:
    """Fails without ``used_at IS NULL`` in use_token: the successor is inserted twice, which is a 500."""
    answers = await asyncio.gather(*(refresh(member, member.tokens["refresh_token"]) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_a_used_token_reused_after_the_grace_ends_the_session(member: ApiClient, database: Database) -> None:
    """Fails if the error is raised inside the transaction: the revocation is rolled back."""
    first = member.tokens["refresh_token"]
    second = (await refresh(member, first)).json()["refresh_token"]
    long_ago = datetime.now(UTC) - service.REFRESH_GRACE - timedelta(seconds=1)
    await database.run(_age_tokens, used_at=long_ago)
    assert_problem(await refresh(member, first), 401, "invalid_refresh_token")
    assert_problem(await refresh(member, second), 401, "invalid_refresh_token")
    assert_problem(await member.get("/v1/users/me"), 401, "unauthorized")


async def test_a_session_ends_after_its_lifetime(member: ApiClient, database: Database) -> None:
    await database.run(_expire_sessions, expires_at=datetime.now(UTC))
    assert_problem(await refresh(member, member.tokens["refresh_token"]), 401, "invalid_refresh_token")
    assert_problem(await member.get("/v1/users/me"), 401, "unauthorized")


async def test_an_idle_session_ends_before_its_lifetime(
    member: ApiClient, database: Database, settings: Settings
) -> None:
    """Fails without the check of ``last_used_at``."""
    idle = timedelta(seconds=settings.jwt.idle_ttl_seconds)
    await database.run(_leave_sessions, last_used_at=datetime.now(UTC) - idle + timedelta(minutes=1))
    tokens = (await refresh(member, member.tokens["refresh_token"])).json()
    await database.run(_leave_sessions, last_used_at=datetime.now(UTC) - idle)
    assert_problem(await refresh(member, tokens["refresh_token"]), 401, "invalid_refresh_token")
    assert (await member.get("/v1/sessions")).json()["items"] == []


@each("token", ["", "rt_unknown", "x" * 200])
async def test_an_unknown_refresh_token_is_refused(anyone: ApiClient, token: str) -> None:
    assert_problem(await refresh(anyone, token), 401, "invalid_refresh_token")


async def test_sessions_are_listed_and_ended_one_by_one(client: httpx.AsyncClient, member: ApiClient) -> None:
    phone = ApiClient(client)
    body = {"email": "member@app.example", "password": PASSWORD}
    answer = await phone.send("POST", "/v1/sessions", body, user_agent="Phone/1.0")
    phone.tokens = answer.json()
    listed = (await member.get("/v1/sessions")).json()["items"]
    assert (listed[0]["user_agent"], listed[0]["current"]) == ("Phone/1.0", False)
    assert [s["current"] for s in listed].count(True) == 1
    path = answer.headers["location"]
    assert path == f"/v1/sessions/{listed[0]['id']}"
    assert (await member.send("DELETE", path)).status_code == 204
    assert_problem(await phone.get("/v1/users/me"), 401, "unauthorized")
    assert_problem(await member.send("DELETE", path), 404, "not_found")
    assert (await member.get("/v1/users/me")).status_code == 200


async def test_signing_out_leaves_other_sessions_open(client: httpx.AsyncClient, member: ApiClient) -> None:
    phone = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    assert (await member.send("DELETE", "/v1/sessions/current")).status_code == 204
    assert_problem(await member.get("/v1/users/me"), 401, "unauthorized")
    assert_problem(await refresh(member, member.tokens["refresh_token"]), 401, "invalid_refresh_token")
    assert (await phone.get("/v1/users/me")).status_code == 200


async def test_signing_out_everywhere_ends_every_session_of_that_user_only(
    client: httpx.AsyncClient, member: ApiClient, other: ApiClient
) -> None:
    phone = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    assert (await phone.send("DELETE", "/v1/sessions")).status_code == 204
    for api in (phone, member):
        assert_problem(await api.get("/v1/users/me"), 401, "unauthorized")
    assert (await other.get("/v1/users/me")).status_code == 200


async def test_a_user_cannot_end_the_session_of_another(member: ApiClient, other: ApiClient) -> None:
    theirs = (await member.get("/v1/sessions")).json()["items"][0]["id"]
    assert_problem(await other.send("DELETE", f"/v1/sessions/{theirs}"), 404, "not_found")
    assert (await member.get("/v1/users/me")).status_code == 200


async def test_one_of_several_concurrent_deletes_of_a_session_succeeds_and_the_others_get_a_404(
    client: httpx.AsyncClient, member: ApiClient
) -> None:
    await ApiClient(client).sign_in("member@app.example", PASSWORD)
    found = (await member.get("/v1/sessions")).json()["items"]
    path = f"/v1/sessions/{next(one['id'] for one in found if not one['current'])}"
    answers = await asyncio.gather(*(member.delete(path) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [204, 404, 404, 404]


async def test_forged_and_foreign_tokens_are_refused(member: ApiClient, settings: Settings) -> None:
    """See ``tests/auth/test_tokens.py`` for more invalid tokens."""
    good = member.tokens["access_token"]
    assert settings.jwt.secret is not None
    (key,) = from_secrets([settings.jwt.secret.get_secret_value()])
    claims = msgspec.json.decode(_part(good, 1))

    def signed(**changed: object) -> str:
        header = {"alg": "HS256", "typ": "at+jwt", "kid": key.id}
        return jwt.encode(header, {**claims, **changed}, key.key, algorithms=["HS256"])

    bad = {
        "expired": signed(exp=int(time.time()) - 1),
        "another user": signed(sub="0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"),
        "an unknown session": signed(sid="0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"),
        "truncated": good[:-3],
        "oversized": good + "a" * 5_000,
        "a refresh token": member.tokens["refresh_token"],
        "nonsense": "a.b.c",
    }
    assert (await member.get("/v1/users/me", authorization=f"Bearer {signed()}")).status_code == 200
    for name, token in bad.items():
        answer = await member.get("/v1/users/me", authorization=f"Bearer {token}")
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"', name


@each("authorization", ["", "Bearer", "Basic YTpi", "Token x"])
async def test_a_request_without_a_bearer_token_gets_a_challenge(anyone: ApiClient, authorization: str) -> None:
    answer = await anyone.get("/v1/users/me", authorization=authorization)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def _part(token: str, index: int) -> bytes:
    part = token.split(".")[index]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
