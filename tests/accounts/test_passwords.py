"""Change and reset of passwords."""

import asyncio

import httpx
from sqlalchemy import func, select

from accounts_app import PASSWORD
from api_client import assert_problem, error_paths
from cases import each
from restwell import App
from restwell.accounts._passwords.models import password_resets
from restwell.database import query
from restwell.testing import ApiClient, MailBox, finish_jobs

UNUSED_CODES = query(
    "test.unused_codes",
    select(func.count().label("n")).select_from(password_resets).where(password_resets.c.used_at.is_(None)),
    into=int,
)
RESET = ("member@app.example", "nobody@app.example", "Member@App.example")


async def test_a_new_password_revokes_all_other_sessions(client: httpx.AsyncClient, member: ApiClient) -> None:
    """Fails without ``revoke_sessions_in``: an attacker with the old password stays signed in."""
    phone = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await member.send("POST", "/v1/users/me/password", change)).status_code == 204
    assert_problem(await phone.get("/v1/users/me"), 401, "unauthorized")
    assert (await member.get("/v1/users/me")).status_code == 200
    await ApiClient(client).sign_in("member@app.example", "an entirely new one")
    old = {"email": "member@app.example", "password": PASSWORD}
    assert_problem(await client.post("/v1/sessions", json=old), 401, "invalid_credentials")


async def test_only_a_user_who_knows_the_password_changes_it(member: ApiClient) -> None:
    wrong = {"current_password": "a wrong password", "new_password": "an entirely new one"}
    assert_problem(await member.send("POST", "/v1/users/me/password", wrong), 403, "wrong_password")
    common = {"current_password": PASSWORD, "new_password": "member@app.example"}
    problem = assert_problem(await member.send("POST", "/v1/users/me/password", common), 422, "password_rejected")
    assert error_paths(problem) == {"$.new_password"}


async def test_one_of_several_concurrent_password_changes_succeeds(
    client: httpx.AsyncClient, member: ApiClient
) -> None:
    """Fails without the old hash in the UPDATE: both succeed, and one of the new passwords does not work."""
    wanted = [f"an entirely new one, {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(
            member.send("POST", "/v1/users/me/password", {"current_password": PASSWORD, "new_password": password})
            for password in wanted
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204, 403, 403, 403]
    (set_one,) = (password for password, answer in zip(wanted, answers, strict=True) if answer.status_code == 204)
    await ApiClient(client).sign_in("member@app.example", set_one)


async def test_a_changed_password_is_mailed_to_the_owner(member: ApiClient, app: App, mail_box: MailBox) -> None:
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await member.send("POST", "/v1/users/me/password", change)).status_code == 204
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert mail.to == "member@app.example"
    assert mail.subject == "Your password was changed"


async def test_the_code_from_the_mail_resets_a_password_once(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    before = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    asked = [await client.post("/v1/password-resets", json={"email": email}) for email in RESET]
    assert {(answer.status_code, answer.content) for answer in asked} == {(202, asked[0].content)}
    await finish_jobs(app)
    codes = [mail.code for mail in mail_box.mails]
    assert [mail.to for mail in mail_box.mails] == ["member@app.example"] * 2

    new = {"code": codes[0], "password": "an entirely new one"}
    assert (await client.post("/v1/password-resets/completion", json=new)).status_code == 204
    assert (await before.get("/v1/users/me")).status_code == 401, "all sessions are revoked"
    await ApiClient(client).sign_in("member@app.example", "an entirely new one")
    for code in (codes[0], codes[1], "wrong"):
        answer = await client.post("/v1/password-resets/completion", json={**new, "code": code})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_reset_code")


async def test_a_password_reset_code_is_refused_after_half_an_hour(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    await client.post("/v1/password-resets", json={"email": "member@app.example"})
    await finish_jobs(app)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("UPDATE password_resets SET expires_at = (SELECT min(created_at) FROM users)")
    (mail,) = mail_box.mails
    late = {"code": mail.code, "password": "an entirely new one"}
    assert (await client.post("/v1/password-resets/completion", json=late)).status_code == 400


async def test_a_new_password_revokes_the_codes_that_were_requested_before(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    """Fails without the hook: a code in a mail that an attacker has read would still reset the new password."""
    await client.post("/v1/password-resets", json={"email": "member@app.example"})
    await finish_jobs(app)
    code = mail_box.mails[0].code
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await member.post("/v1/users/me/password", change)).status_code == 204
    late = {"code": code, "password": "the password of an attacker"}
    assert_problem(await client.post("/v1/password-resets/completion", json=late), 400, "invalid_reset_code")


async def test_a_deleted_account_has_no_valid_reset_code(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    """Fails without the hook: the code is only refused because the account is inactive."""
    await client.post("/v1/password-resets", json={"email": "member@app.example"})
    await finish_jobs(app)
    assert (await member.delete("/v1/users/me")).status_code == 204
    assert await app.kit.database.one(UNUSED_CODES) == 0
    late = {"code": mail_box.mails[0].code, "password": "an entirely new one"}
    assert_problem(await client.post("/v1/password-resets/completion", json=late), 400, "invalid_reset_code")


@each(
    ("email", "name"),
    [("a@b.example", "\\ud800"), ("a@b.example", "a\\u0000b"), ("a\\u0000@b.example", "n"), ("\\udfff@b.example", "n")],
)
async def test_a_text_with_a_nul_or_half_a_surrogate_pair_is_refused(
    client: httpx.AsyncClient, email: str, name: str
) -> None:
    """A 500 if the database gets it: it cannot store such a text."""
    account = '{"email": "%s", "password": "a long enough password", "name": "%s"}'
    answer = await client.post(
        "/v1/users", content=account % (email, name), headers={"content-type": "application/json"}
    )
    assert answer.status_code in {400, 422}, answer.text
