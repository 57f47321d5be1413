"""Email verification and change of the email address by code."""

import httpx
import pytest

from accounts_app import PASSWORD
from api_client import assert_problem
from restwell import App
from restwell.accounts._throttle.service import FREE_ATTEMPTS
from restwell.testing import ApiClient, MailBox, finish_jobs

NEW = {"email": "Ada@Example.com", "password": "a long enough one", "name": "Ada"}


async def verify(client: httpx.AsyncClient, code: str) -> httpx.Response:
    return await client.post("/v1/email-verifications/completion", json={"code": code})


async def account(api: ApiClient) -> tuple[str, bool]:
    me = (await api.get("/v1/users/me")).json()
    return me["email"], me["email_verified"]


async def request_code(api: ApiClient, email: str, **more: str) -> httpx.Response:
    return await api.send("POST", "/v1/email-verifications", {"email": email, **more})


async def test_the_code_in_the_welcome_email_verifies_the_address_once(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    await client.post("/v1/users", json=NEW)
    await finish_jobs(app)
    ada = await ApiClient(client).sign_in("ada@example.com", NEW["password"])
    assert await account(ada) == ("ada@example.com", False)
    code = mail_box.mails[0].code
    assert (await verify(client, code)).status_code == 204
    assert await account(ada) == ("ada@example.com", True), "the cache is invalidated"
    assert_problem(await verify(client, code), 400, "invalid_verification_code")


async def test_a_new_address_needs_password_and_code_and_the_old_one_is_notified(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    assert_problem(await request_code(member, "new@app.example"), 403, "wrong_password")
    assert_problem(await request_code(member, "new@app.example", current_password="wrong"), 403, "wrong_password")
    assert (await request_code(member, "New@app.example", current_password=PASSWORD)).status_code == 202
    await client.post("/v1/password-resets", json={"email": "member@app.example"})
    await finish_jobs(app)
    reset, code = (mail.code for mail in sorted(mail_box.mails, key=lambda mail: mail.subject))
    assert {mail.to for mail in mail_box.mails} == {
        "new@app.example",
        "member@app.example",
    }
    assert await account(member) == ("member@app.example", True), "until the new address is verified"

    assert (await verify(client, code)).status_code == 204
    assert await account(member) == ("new@app.example", True)
    await ApiClient(client).sign_in("new@app.example", PASSWORD)
    await finish_jobs(app)
    notice = mail_box.mails[-1]
    assert (notice.to, notice.subject) == (
        "member@app.example",
        "Your email address was changed",
    )
    late = await client.post("/v1/password-resets/completion", json={"code": reset, "password": "an entirely new one"})
    assert_problem(late, 400, "invalid_reset_code")


async def test_an_address_of_another_account_cannot_be_taken(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    """The response does not reveal the other account. The code is sent to its owner."""
    assert (await request_code(member, "other@app.example", current_password=PASSWORD)).status_code == 202
    await finish_jobs(app)
    assert_problem(await verify(client, mail_box.mails[0].code), 409, "email_taken")
    assert await account(member) == ("member@app.example", True)


async def test_a_verification_code_is_rejected_after_a_day_or_without_its_account(
    client: httpx.AsyncClient, member: ApiClient, other: ApiClient, app: App, mail_box: MailBox
) -> None:
    for api, email in ((member, "member@app.example"), (other, "other@app.example")):
        assert (await request_code(api, email)).status_code == 202
    await finish_jobs(app)
    await other.send("DELETE", "/v1/users/me")
    async with app.kit.database.transaction() as tx:
        await tx.run_script(
            "UPDATE email_verifications SET expires_at = (SELECT min(created_at) FROM users)"
            " WHERE email = 'member@app.example'"
        )
    for mail in mail_box.mails:
        assert_problem(await verify(client, mail.code), 400, "invalid_verification_code")


async def test_a_stolen_session_cannot_guess_the_password_for_long(
    member: ApiClient, client: httpx.AsyncClient
) -> None:
    """Fails if only sign-ins are throttled. The owner's other session is not throttled."""
    for _ in range(FREE_ATTEMPTS):
        assert_problem(
            await request_code(member, "attacker@app.example", current_password="a guess"), 403, "wrong_password"
        )
    assert_problem(
        await request_code(member, "attacker@app.example", current_password=PASSWORD), 429, "too_many_attempts"
    )
    owner = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    assert (await request_code(owner, "new@app.example", current_password=PASSWORD)).status_code == 202


@pytest.mark.parametrize("how", ["reset", "change"])
async def test_a_new_password_cancels_a_pending_change_of_the_address(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox, how: str
) -> None:
    """Fails if pending codes stay valid: an attacker with a code takes over the account later."""
    assert (await request_code(member, "attacker@app.example", current_password=PASSWORD)).status_code == 202
    await finish_jobs(app)
    thiefs = mail_box.mails[-1].code
    if how == "reset":
        await client.post("/v1/password-resets", json={"email": "member@app.example"})
        await finish_jobs(app)
        reset = {"code": mail_box.mails[-1].code, "password": "an entirely new one"}
        assert (await client.post("/v1/password-resets/completion", json=reset)).status_code == 204
    else:
        change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
        assert (await member.send("POST", "/v1/users/me/password", change)).status_code == 204
    assert_problem(await verify(client, thiefs), 400, "invalid_verification_code")
