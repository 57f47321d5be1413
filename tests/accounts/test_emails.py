"""The emails about accounts: their texts and recipients."""

import httpx

from restwell import App
from restwell.testing import ApiClient, MailBox, finish_jobs

NEW = {"email": "Ada@Example.com", "password": "a long enough one", "name": "Ada <b>Lovelace</b>"}


async def test_a_new_user_gets_a_welcome_mail(client: httpx.AsyncClient, app: App, mail_box: MailBox) -> None:
    assert (await client.post("/v1/users", json=NEW)).status_code == 201
    assert (await client.post("/v1/users", json=NEW)).status_code == 409
    assert mail_box.mails == []
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert mail.to == "ada@example.com"
    assert mail.subject == "Welcome"
    assert "Your account is ready." in mail.text
    assert "Your account is ready." in mail.html


async def test_no_email_to_an_unverified_address_contains_text_of_the_requester(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    """Fails if an email contains the user's name, which may be "Your account is locked, ..."."""
    registration = {**NEW, "name": "Your account is locked, go to http://evil.example"}
    assert (await client.post("/v1/users", json=registration)).status_code == 201
    api = await ApiClient(client).sign_in("ada@example.com", NEW["password"])
    await finish_jobs(app)
    change = {"current_password": NEW["password"], "new_password": "an entirely new one"}
    assert (await api.send("POST", "/v1/users/me/password", change)).status_code == 204
    assert (await client.post("/v1/password-resets", json={"email": "ada@example.com"})).status_code == 202
    for email in ("ada@example.com", "victim@example.com"):
        asked = {"email": email, "current_password": change["new_password"]}
        assert (await api.send("POST", "/v1/email-verifications", asked)).status_code == 202
    await finish_jobs(app)
    (to_victim,) = (mail for mail in mail_box.mails if mail.to == "victim@example.com")
    confirmed = await client.post("/v1/email-verifications/completion", json={"code": to_victim.code})
    assert confirmed.status_code == 204
    await finish_jobs(app)
    assert sorted(mail.subject for mail in mail_box.mails) == [
        "Reset your password",
        "Verify your email address",
        "Verify your email address",
        "Welcome",
        "Your email address was changed",
        "Your password was changed",
    ]
    for mail in mail_box.mails:
        shown = [*map(str, mail.message.values()), mail.text, mail.html]
        assert not [one for one in shown if "locked" in one or "evil" in one], mail.subject
