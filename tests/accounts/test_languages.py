"""The languages of emails: which one a client prefers, and in which one an account gets its mails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from accounts_app import PASSWORD, create_app
from api_client import assert_problem, error_paths
from cases import each
from restwell import App
from restwell.accounts import AccountEmails, EmailText, UserService
from restwell.accounts._languages import Languages, preferred
from restwell.settings import OauthSettings, Settings
from restwell.testing import ApiClient, MailBox, OpenIdProvider, finish_jobs, running

ADA = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada Lovelace"}
ME = "/v1/users/me"
GERMAN = {"accept-language": "de-AT, en;q=0.5"}
NO_CHANGE = "Wenn Sie das nicht waren, ändern Sie sofort Ihr Passwort."
IGNORE = "Wenn Sie das nicht angefordert haben, ignorieren Sie diese E-Mail."


class GermanEmails(AccountEmails):
    """All texts. ``<`` shows that texts are escaped in HTML."""

    greeting = "Guten Tag,"
    signature = "Ihr <Team>"

    def welcome(self, code: str | None) -> EmailText:
        shown = [] if code is None else ["Dies ist der Code, mit dem Sie Ihre E-Mail-Adresse bestätigen:", code]
        return EmailText("Willkommen", ["Ihr Konto ist eingerichtet.", *shown, IGNORE])

    def email_verification(self, code: str) -> EmailText:
        return EmailText("Bestätigen Sie Ihre E-Mail-Adresse", ["Dies ist der Code:", code, IGNORE])

    def email_changed(self) -> EmailText:
        return EmailText("Ihre E-Mail-Adresse wurde geändert", ["E-Mails gehen jetzt an die neue Adresse.", NO_CHANGE])

    def password_reset(self, code: str, expires_at: datetime) -> EmailText:
        until = f"Er gilt einmal, bis {expires_at:%H:%M} UTC."
        return EmailText("Setzen Sie Ihr Passwort zurück", ["Dies ist der Code:", code, until, IGNORE])

    def password_changed(self) -> EmailText:
        return EmailText("Ihr Passwort wurde geändert", ["Alle anderen Geräte wurden abgemeldet.", NO_CHANGE])

    def mfa_enabled(self) -> EmailText:
        return EmailText("Zweiter Faktor aktiviert", ["Die Anmeldung verlangt jetzt einen Code.", NO_CHANGE])

    def mfa_disabled(self) -> EmailText:
        return EmailText("Zweiter Faktor deaktiviert", ["Die Anmeldung verlangt keinen Code.", NO_CHANGE])

    def api_key_created(self, start: str) -> EmailText:
        return EmailText("Neuer API-Schlüssel", [f"Er beginnt mit {start}", NO_CHANGE])

    def identity_linked(self, provider: str) -> EmailText:
        return EmailText("Neue Anmeldung", [f"Sie können sich jetzt mit {provider} anmelden.", NO_CHANGE])

    def invitation(self, code: str | None, expires_at: datetime) -> EmailText:
        shown = [] if code is None else ["Dies ist der Code:", code]
        return EmailText("Einladung", [*shown, f"Sie gilt bis {expires_at:%d.%m.%Y}."])


EMAILS = {"en": AccountEmails(), "de": GermanEmails()}


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings, emails=EMAILS)


def test_the_second_language_is_complete() -> None:
    texts = {name for name, value in vars(AccountEmails).items() if callable(value)}
    assert texts <= vars(GermanEmails).keys()


@each(
    ("header", "offered", "chosen"),
    [
        ("", "en de", "en"),
        ("de", "en de", "de"),
        ("DE", "en de", "de"),
        ("de-AT", "en de", "de"),
        ("de-AT-1996", "en de de-AT", "de-AT"),
        ("zh-Hant-x-TW", "en zh-Hant", "zh-Hant"),
        ("pt", "en pt-BR", "en"),
        ("pt-br", "en pt-BR", "pt-BR"),
        ("fr, de;q=0.8, en;q=0.9", "de en", "en"),
        ("en;q=0.2, de;q=0.1, fr;q=0.15", "fr de en", "en"),
        ("en;q=0.5, de;q=0.5", "en de", "en"),
        ("de;q=0.5, en;q=0.5", "en de", "de"),
        ("de;q=0", "de en", "en"),
        ("de;q=0, de-AT", "en de-AT de", "de-AT"),
        ("de-AT, de;q=0", "en de", "en"),
        ("*", "en de", "en"),
        ("*, de;q=0.1", "en de", "de"),
        ("en;q=0, *", "en de", "de"),
        ("fr, *;q=0", "en de", "en"),
        ("en, *;q=0", "de en", "en"),
        ("de ; q=0.5 ,\ten;q=0.1", "en de", "de"),
        ("de;q=2, en;q=0.1, de;q=x, de;level=1", "fr en de", "en"),
        ("de;q=0.1234, \u00fc, -, d_e, , ;q=1", "en de", "en"),
        (f"{'x-' * 20_000}, de", "en de", "en"),
    ],
)
async def test_the_language_that_a_client_prefers_is_chosen(header: str, offered: str, chosen: str) -> None:
    """RFC 4647, section 3.4, and RFC 9110, section 12.5.4."""
    assert preferred(header, offered.split()) == chosen


@each(
    "emails",
    [
        {},
        {"de": GermanEmails},
        {"de_DE": GermanEmails()},
        {"de": GermanEmails(), "DE": GermanEmails()},
        {"de\n": GermanEmails()},
    ],
)
async def test_languages_that_cannot_be_offered_are_an_error_at_start(emails: Mapping[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^Accounts: emails must "):
        Languages(emails)


async def test_a_client_registers_in_its_language_and_changes_it(
    client: httpx.AsyncClient, app: App, admin: ApiClient
) -> None:
    answer = await client.post("/v1/users", json=ADA, headers=GERMAN)
    assert answer.json()["language"] == "de"
    assert (await client.post("/v1/users", json={**ADA, "email": "b@example.com"})).json()["language"] == "en"
    ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
    assert (await ada.get(ME)).json() == answer.json()
    assert (await ada.get(f"{ME}/export")).json()["account"] == answer.json()
    user_id = answer.json()["id"]
    assert (await admin.get(f"/v1/users/{user_id}")).json()["language"] == "de"
    assert (await ada.patch(ME, {"language": "en"})).json()["language"] == "en"
    assert (await ada.patch(ME, {"name": "Ada"})).json()["language"] == "en"
    for language in ("fr", "DE", "", None):
        problem = assert_problem(await ada.patch(ME, {"language": language}), 422, "invalid")
        assert error_paths(problem) == {"$.language"}
    assert (await app.service(UserService).get_user(UUID(user_id))).language == "en"
    await ada.delete(ME)
    assert (await admin.get(f"/v1/users/{user_id}")).json()["language"] == "en", "the default"


async def test_an_account_gets_its_mails_in_its_language(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    """Fails if one of the mails is sent without the language of the account, or its text is not escaped in HTML."""
    await client.post("/v1/users", json=ADA, headers=GERMAN)
    ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
    password = {"current_password": ADA["password"]}
    assert (await ada.post(f"{ME}/password", {**password, "new_password": ADA["password"] + "!"})).status_code == 204
    password = {"current_password": ADA["password"] + "!"}
    await client.post("/v1/password-resets", json={"email": ADA["email"]})
    await client.post("/v1/password-resets", json={"email": "nobody@example.com"})
    await ada.post("/v1/email-verifications", {"email": "new@example.com", **password})
    await finish_jobs(app)
    code = (await mail_box.wait_for(to="new@example.com")).code
    assert (await client.post("/v1/email-verifications/completion", json={"code": code})).status_code == 204
    await finish_jobs(app)
    assert sorted(mail.subject for mail in mail_box.mails) == [
        "Bestätigen Sie Ihre E-Mail-Adresse",
        "Ihr Passwort wurde geändert",
        "Ihre E-Mail-Adresse wurde geändert",
        "Setzen Sie Ihr Passwort zurück",
        "Willkommen",
    ]
    for mail in mail_box.mails:
        assert mail.message["Content-Language"] == "de"
        assert mail.html.startswith('<!doctype html><html lang="de">')
        assert mail.text.startswith("Guten Tag,")
        assert mail.text.rstrip().endswith("Ihr <Team>")
        assert "Ihr &lt;Team&gt;" in mail.html
        assert "Ada" not in mail.text


async def test_a_language_that_is_no_longer_offered_is_read_as_the_default(settings: Settings) -> None:
    """Fails if the stored tag is returned as it is: OpenAPI does not have it."""
    async with running(create_app(settings, emails=EMAILS)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        await member.patch(ME, {"language": "de"})
    async with running(create_app(settings, emails={"en": AccountEmails(), "fr": AccountEmails()})) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        assert (await member.get(ME)).json()["language"] == "en"
    async with running(create_app(settings, emails=EMAILS)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        assert (await member.get(ME)).json()["language"] == "de"


async def test_one_language_is_not_in_the_api(settings: Settings, mail_box: MailBox) -> None:
    app = create_app(settings, emails={"de": GermanEmails()})
    async with running(app) as client:
        assert "language" not in (await client.post("/v1/users", json=ADA)).json()
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        assert error_paths((await ada.patch(ME, {"language": "de"})).json()) == {"$.language"}
        await finish_jobs(app)
    (mail,) = mail_box.mails
    assert (mail.subject, mail.message["Content-Language"]) == ("Willkommen", "de")


async def test_the_api_describes_the_languages(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    for schema in ("User", "AccountUpdateRequest"):
        assert schemas[schema]["properties"]["language"] == {"enum": ["de", "en"]}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("registration", ["open", "invitation"])
async def test_accounts_of_identity_providers_and_invitations_have_the_language_of_the_client(
    settings: Settings, mail_box: MailBox, registration: str
) -> None:
    """Fails if one of them is created without the header."""
    with OpenIdProvider() as provider:
        oauth = OauthSettings(providers=(SecretStr(provider.setting("okta")),))
        changed = settings.model_copy(update={"oauth": oauth})
        app = create_app(changed, emails=EMAILS, registration=registration)
        async with running(app) as client:
            admin = await ApiClient(client).sign_in("admin@app.example", PASSWORD)
            if registration == "invitation":
                for email in (ADA["email"], "grace@example.com"):
                    await admin.post("/v1/invitations", {"email": email, "role": "member"})
                await finish_jobs(app)
                invitation = await mail_box.wait_for(to="grace@example.com", subject="Invitation")
                accepted = {"code": invitation.code, "name": "Grace", "password": ADA["password"]}
                answer = await client.post("/v1/invitations/acceptance", json=accepted, headers=GERMAN)
                assert answer.json()["language"] == "de"
            browser = ApiClient(client)
            browser.headers |= GERMAN
            assert (await browser.get(await browser.authorize("/v1/identities/okta/sign-in"))).status_code == 200
            users = (await admin.get("/v1/users")).json()["items"]
    (created,) = (user for user in users if user["email"] == ADA["email"])
    assert created["language"] == "de"
