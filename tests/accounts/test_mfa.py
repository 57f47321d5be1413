"""MFA: required wherever the password is, with single-use codes."""

import time

import httpx
import pyotp
import pytest
from sqlalchemy import func, select

from accounts_app import PASSWORD
from api_client import Json, assert_problem
from restwell import App
from restwell.accounts._mfa.models import mfa_enrolments, recovery_codes
from restwell.accounts._throttle.service import FREE_ATTEMPTS
from restwell.auth import SecretBox
from restwell.database import query
from restwell.testing import ApiClient, MailBox, finish_jobs

PATH = "/v1/users/me/mfa"
OWNER = {"email": "member@app.example", "password": PASSWORD}


class Phone:
    """An authenticator app. Each ``code`` is of the timestep after the previous one, as if 30 seconds had passed."""

    def __init__(self, uri: str) -> None:
        self._totp = pyotp.parse_uri(uri)
        self._step = 0
        assert isinstance(self._totp, pyotp.TOTP)

    def code(self, steps: int = 1) -> str:
        self._step = max(self._step, int(time.time()) // 30 - 2) + steps
        assert isinstance(self._totp, pyotp.TOTP)
        return self._totp.generate_otp(self._step)


async def start_enrolment(api: ApiClient) -> Phone:
    answer = await api.send("POST", PATH, {"current_password": PASSWORD})
    assert answer.status_code == 200, answer.text
    begun: Json = answer.json()
    assert begun["secret"] in begun["uri"]
    assert begun["uri"].startswith("otpauth://totp/accounts:member%40app.example?")
    return Phone(begun["uri"])


async def activate(api: ApiClient) -> tuple[Phone, list[str]]:
    phone = await start_enrolment(api)
    answer = await api.send("POST", f"{PATH}/confirmation", {"code": phone.code()})
    assert answer.status_code == 200, answer.text
    return phone, answer.json()["recovery_codes"]


async def sign_in(client: httpx.AsyncClient, code: str | None = None) -> httpx.Response:
    return await client.post("/v1/sessions", json={**OWNER, **({"code": code} if code is not None else {})})


async def test_signing_in_requires_a_single_use_mfa_code(client: httpx.AsyncClient, member: ApiClient) -> None:
    phone, codes = await activate(member)
    assert (await member.get(PATH)).json() == {"active": True, "recovery_codes_left": 10}
    assert_problem(await sign_in(client), 401, "mfa_required")
    assert_problem(await client.post("/v1/sessions", json={**OWNER, "password": "wrong"}), 401, "invalid_credentials")
    code = phone.code()
    assert (await sign_in(client, f"{code[:3]} {code[3:]}")).status_code == 201
    assert_problem(await sign_in(client, code), 403, "invalid_mfa_code")
    assert (await sign_in(client, codes[0])).status_code == 201
    assert_problem(await sign_in(client, codes[0]), 403, "invalid_mfa_code")
    assert (await member.get(PATH)).json() == {"active": True, "recovery_codes_left": 9}
    found = [one["type"] for one in (await member.get("/v1/security-events?limit=100")).json()["items"]]
    assert {"mfa_enabled", "recovery_code_used", "sign_in_failed"} <= set(found)


async def test_the_code_that_confirmed_the_enrolment_does_not_sign_in(
    client: httpx.AsyncClient, member: ApiClient
) -> None:
    phone = await start_enrolment(member)
    code = phone.code()
    assert (await member.send("POST", f"{PATH}/confirmation", {"code": code})).status_code == 200
    assert_problem(await sign_in(client, code), 403, "invalid_mfa_code")


async def test_an_mfa_code_works_only_for_its_time_and_owner(
    client: httpx.AsyncClient, member: ApiClient, other: ApiClient
) -> None:
    phone, codes = await activate(member)
    begun = await other.send("POST", PATH, {"current_password": PASSWORD})
    theirs = Phone(begun.json()["uri"])
    assert (await other.send("POST", f"{PATH}/confirmation", {"code": theirs.code()})).status_code == 200
    late = {"email": "other@app.example", "password": PASSWORD}
    assert_problem(await sign_in(client, theirs.code()), 403, "invalid_mfa_code")
    assert_problem(await sign_in(client, phone.code(10)), 403, "invalid_mfa_code")
    assert_problem(await client.post("/v1/sessions", json={**late, "code": codes[0]}), 403, "invalid_mfa_code")


async def test_an_unconfirmed_enrolment_is_not_required(client: httpx.AsyncClient, member: ApiClient) -> None:
    first = await start_enrolment(member)
    phone = await start_enrolment(member)
    assert (await member.get(PATH)).json() == {"active": False, "recovery_codes_left": 0}
    assert (await sign_in(client)).status_code == 201
    confirm = f"{PATH}/confirmation"
    assert_problem(await member.send("POST", confirm, {"code": first.code()}), 403, "invalid_mfa_code")
    assert (await member.send("POST", confirm, {"code": phone.code()})).status_code == 200
    assert_problem(await member.send("POST", confirm, {"code": phone.code()}), 409, "mfa_not_enrolled")
    assert_problem(await member.send("POST", PATH, {"current_password": PASSWORD}), 409, "mfa_already_enabled")


async def test_enabling_mfa_revokes_other_sessions_and_notifies_the_owner(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    other_session = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    phone, _ = await activate(member)
    assert (await other_session.get("/v1/users/me")).status_code == 401
    removal = {"current_password": PASSWORD, "code": phone.code()}
    assert (await member.send("POST", f"{PATH}/removal", removal)).status_code == 204
    await finish_jobs(app)
    assert sorted(mail.subject for mail in mail_box.mails) == [
        "Multi-factor authentication was disabled",
        "Multi-factor authentication was enabled",
    ]


async def test_mfa_is_disabled_with_password_and_code_and_then_not_required(
    client: httpx.AsyncClient, member: ApiClient
) -> None:
    phone, codes = await activate(member)
    removal = f"{PATH}/removal"
    wrong = {"current_password": "wrong", "code": codes[0]}
    assert_problem(await member.send("POST", removal, wrong), 403, "wrong_password")
    wrong = {"current_password": PASSWORD, "code": "000000 "}
    assert_problem(await member.send("POST", removal, wrong), 403, "invalid_mfa_code")
    right = {"current_password": PASSWORD, "code": codes[0]}
    assert (await member.send("POST", removal, right)).status_code == 204, "a wrong password does not consume the code"
    assert (await member.get(PATH)).json() == {"active": False, "recovery_codes_left": 0}
    assert (await sign_in(client)).status_code == 201
    right = {"current_password": PASSWORD, "code": phone.code()}
    assert_problem(await member.send("POST", removal, right), 409, "mfa_not_enrolled")


async def test_the_mfa_code_cannot_be_guessed_at_sign_in(member: ApiClient, app: App) -> None:
    """Fails if failures are counted per network only: a botnet can try a million codes."""
    await activate(member)
    for number in range(FREE_ATTEMPTS + 5):  # on a busy machine, the first waits are over before the next guess
        network = httpx.ASGITransport(app, client=(f"10.0.{number}.1", 40_000))
        async with httpx.AsyncClient(transport=network, base_url="http://app.test") as client:
            answer = await sign_in(client, "000000")
        if number >= FREE_ATTEMPTS and answer.status_code == 429:
            assert_problem(answer, 429, "too_many_attempts")
            return
        assert_problem(answer, 403, "invalid_mfa_code")
    pytest.fail("no guess was refused")


async def test_the_mfa_code_cannot_be_guessed_by_disabling_mfa(member: ApiClient) -> None:
    await activate(member)
    guess = {"current_password": PASSWORD, "code": "000000"}
    for _ in range(FREE_ATTEMPTS):
        assert_problem(await member.send("POST", f"{PATH}/removal", guess), 403, "invalid_mfa_code")
    refused = await member.send("POST", f"{PATH}/removal", guess)
    if refused.status_code == 403:  # the first wait of one second is already over
        refused = await member.send("POST", f"{PATH}/removal", guess)
    assert_problem(refused, 429, "too_many_attempts")


async def test_a_deleted_account_leaves_no_mfa_secret(member: ApiClient, app: App) -> None:
    await activate(member)
    assert (await member.send("DELETE", "/v1/users/me")).status_code == 204
    for table in (mfa_enrolments, recovery_codes):
        left = query("test.left", select(func.count().label("n")).select_from(table), into=int)
        assert await app.kit.database.one(left) == 0


async def test_a_recovery_code_signs_in_when_the_secret_cannot_be_decrypted(
    client: httpx.AsyncClient, member: ApiClient, app: App
) -> None:
    phone, codes = await activate(member)
    sealed = SecretBox([b"derived from a lost master secret"[:32]]).encrypt("JBSWY3DPEHPK3PXP")
    async with app.kit.database.transaction() as tx:
        await tx.run_script(f"UPDATE mfa_enrolments SET encrypted_secret = '{sealed}'")
    assert_problem(await sign_in(client, phone.code()), 403, "invalid_mfa_code")
    assert (await sign_in(client, codes[0])).status_code == 201


async def test_the_mfa_secret_is_encrypted_in_the_database(member: ApiClient, app: App) -> None:
    begun = await member.send("POST", PATH, {"current_password": PASSWORD})
    stored = query("test.stored", select(mfa_enrolments.c.encrypted_secret).limit(2), into=str)
    (sealed,) = await app.kit.database.all(stored)
    assert begun.json()["secret"] not in sealed
    assert app.kit.secret_box.decrypt(sealed) == begun.json()["secret"]
