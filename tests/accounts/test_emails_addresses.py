"""Email addresses: every route uses the same parser and canonical form."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from api_client import Json
from restwell import App
from restwell.testing import ApiClient, MailBox, finish_jobs

PASSWORD = "a long enough one"
REFUSED = [
    *("v(c)@example.com", "v@evil.example(.shop.example)", "<a@b.example>", "a,b@example.com", "a@b..example"),
    *("a\u200b@example.com", "a@exa\u200bmple.com", "\u202ea@example.com", "a@example.com\u2069", "é@example.com"),
    *("a@example.com\nBcc: b@example.com", "a@example.com ", "a\x00@example.com", "a\x00", "nobody", "", "a@localhost"),
    *("a" * 250 + "@example.com", "a" * 65 + "@example.com", "a@deleted.invalid"),
]
FORGED = "=?utf-8?q?x=0d=0aReply-To=3a_evil=40evil.example=0d=0aSubject=3a_Account_locked=0d=0a=0d=0aLog_in?="


def new(email: str, name: str = "Ada") -> Json:
    return {"email": email, "password": PASSWORD, "name": name}


async def test_an_invalid_address_is_a_422_that_names_its_field_at_every_route(
    client: httpx.AsyncClient, member: ApiClient, app: App, mail_box: MailBox
) -> None:
    """Regression: a NUL in the address of a sign-in was a 500 on PostgreSQL."""
    routes: dict[str, Callable[[str], Awaitable[httpx.Response]]] = {
        "register": lambda email: client.post("/v1/users", json=new(email)),
        "sign in": lambda email: client.post("/v1/sessions", json={"email": email, "password": PASSWORD}),
        "reset": lambda email: client.post("/v1/password-resets", json={"email": email}),
        "change": lambda email: member.send(
            "POST", "/v1/email-verifications", {"email": email, "current_password": PASSWORD}
        ),
    }
    for email in REFUSED:
        for name, route in routes.items():
            answer = await route(email)
            assert answer.status_code == 422, (name, email, answer.text)
            assert [error["path"] for error in answer.json()["errors"]] == ["$.email"], (name, email)
    await finish_jobs(app)
    assert mail_box.mails == []


@pytest.mark.parametrize("path", ["/v1/users", "/v1/sessions", "/v1/password-resets"])
async def test_an_address_with_half_a_surrogate_pair_is_refused(client: httpx.AsyncClient, path: str) -> None:
    body = '{"email": "\\ud800@example.com", "password": "a long enough one", "name": "n"}'
    answer = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}


async def test_all_spellings_of_an_address_are_one_account_that_gets_its_mail(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    """Fails without a canonical form: NFC and NFD are two accounts, and mail to international domains fails."""
    twins = [
        "Ada@b\u00fccher.example",
        "ada@bu\u0308cher.example",
        "ada@XN--BCHER-KVA.example",
        "ADA@B\u00dcCHER.example",
    ]
    first = await client.post("/v1/users", json=new(twins[0]))
    assert (first.status_code, first.json()["email"]) == (201, "ada@xn--bcher-kva.example")
    for twin in twins:
        again = await client.post("/v1/users", json=new(twin))
        assert (again.status_code, again.json()["code"]) == (409, "email_taken")
        await ApiClient(client).sign_in(twin, PASSWORD)
        assert (await client.post("/v1/password-resets", json={"email": twin})).status_code == 202
    await finish_jobs(app)
    assert [mail.to for mail in mail_box.mails] == ["ada@xn--bcher-kva.example"] * 5
    (welcome,) = (mail for mail in mail_box.mails if mail.subject == "Welcome")
    answer = await client.post("/v1/email-verifications/completion", json={"code": welcome.code})
    assert answer.status_code == 204


async def test_another_spelling_of_the_current_address_is_not_a_change(
    member: ApiClient, app: App, mail_box: MailBox
) -> None:
    answer = await member.send("POST", "/v1/email-verifications", {"email": "Member@APP.example"})
    assert answer.status_code == 202, "the current address needs no password"
    await finish_jobs(app)
    assert [mail.to for mail in mail_box.mails] == ["member@app.example"]


async def test_a_display_name_cannot_forge_a_mail(client: httpx.AsyncClient, app: App, mail_box: MailBox) -> None:
    """Header injection. Fails if a display name is parsed: its encoded words become headers and text."""
    assert (await client.post("/v1/users", json=new("victim@example.com", FORGED))).status_code == 201
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert (mail.subject, mail.message["Reply-To"]) == ("Welcome", None)
    assert mail.message.get_all("Subject") == ["Welcome"]
    assert not [value for value in mail.message.values() if "evil" in value]
