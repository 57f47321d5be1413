"""Forged and stolen callbacks, tokens and accounts, against a provider on a real port."""

from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from accounts_app import PASSWORD, create_app
from api_client import Json, assert_problem
from cases import each
from misbehaving_provider import ADA, CLIENT_ID, MisbehavingProvider
from oauth_browser import OAuthBrowser, changed
from restwell import App
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, finish_jobs
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE


@pytest.fixture
def app(oauth_settings: Settings) -> App:
    return create_app(oauth_settings)


@each(
    "to",
    ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", "/%09/evil.example", "", "/日本"],
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_return_to_of_another_origin_is_rejected(browser: OAuthBrowser, to: str) -> None:
    answer = await browser.get(f"/v1/identities/okta/sign-in?{urlencode({'return_to': to})}")
    assert_problem(answer, 422, "invalid")


WRONG_TOKENS: dict[str, Json] = {
    "wrong issuer": {"claims": {"iss": "https://evil.example"}},
    "another's audience": {"claims": {"aud": "other-client"}},
    "one of several audiences, for another": {"claims": {"aud": [CLIENT_ID, "other-client"], "azp": "other-client"}},
    "several audiences, without azp": {"claims": {"aud": [CLIENT_ID, "other-client"]}},
    "azp of another client": {"claims": {"azp": "other-client"}},
    "expired": {"claims": {"exp": 1_700_000_000}},
    "never expires": {"claims": {"exp": None}},
    "not issued yet": {"claims": {"iat": 4_000_000_000}},
    "another sign-in's": {"claims": {"nonce": "of another"}},
    "no nonce": {"claims": {"nonce": None}},
    "without sub": {"claims": {"sub": None}},
    "signed with an unknown key": {"key": "stranger"},
    "signed with the client's secret": {"key": "secret"},
    "not signed": {"key": "none"},
    "userinfo of another subject": {"claims": {"email": None}, "userinfo": {"sub": "1", "email": "eve@example.com"}},
}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", WRONG_TOKENS)
async def test_an_invalid_id_token_is_refused(browser: OAuthBrowser, provider: MisbehavingProvider, how: str) -> None:
    provider.misbehave(**WRONG_TOKENS[how])
    assert_problem(await browser.sign_in_with(), 400, "invalid_sign_in")
    assert ACCESS_COOKIE not in browser.cookies


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_callback_that_this_browser_did_not_request_is_refused(
    browser: OAuthBrowser, client: httpx.AsyncClient
) -> None:
    """Login CSRF: each of these callbacks would sign a browser in to another user's account."""
    others = OAuthBrowser(client)
    theirs, mine = await others.to_provider(), await browser.to_provider()
    their_state = parse_qs(urlsplit(theirs).query)["state"][0]
    wrong = {
        "another's answer": theirs,
        "another's state": changed(mine, state=their_state),
        "no state": changed(mine, state=None),
        "no code": changed(mine, code=None),
        "an unknown code": changed(mine, code="made-up"),
        "another provider's": mine.replace("/okta/", "/github/"),
        "of another issuer": changed(mine, iss="https://evil.example"),
        "without iss": changed(mine, iss=None),
    }
    for path in wrong.values():
        assert_problem(await browser.get(path), 400, "invalid_sign_in")
    assert_problem(await OAuthBrowser(client).get(mine), 400, "invalid_sign_in")
    saved = dict(browser.cookies)
    browser.cookies[OAUTH_STATE_COOKIE] = saved[OAUTH_STATE_COOKIE][:-4] + "AAAA"
    assert_problem(await browser.get(mine), 400, "invalid_sign_in")
    assert ACCESS_COOKIE not in browser.cookies


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_used_authorization_code_is_refused(browser: OAuthBrowser) -> None:
    answer = await browser.to_provider()
    flow = browser.cookies[OAUTH_STATE_COOKIE]
    assert (await browser.get(answer)).status_code == 200
    attacker = OAuthBrowser(browser.client)
    attacker.cookies[OAUTH_STATE_COOKIE] = flow
    assert_problem(await attacker.get(answer), 400, "invalid_sign_in")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_stolen_authorization_code_does_not_fit_another_verifier(browser: OAuthBrowser) -> None:
    """The attacker has the code and a flow of their own. PKCE rejects the pair."""
    stolen = parse_qs(urlsplit(await browser.to_provider()).query)["code"][0]
    attacker = OAuthBrowser(browser.client)
    mine = await attacker.to_provider()
    assert_problem(await attacker.get(changed(mine, code=stolen)), 400, "invalid_sign_in")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_sign_in_may_take_ten_minutes(browser: OAuthBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await browser.to_provider()
    monkeypatch.setattr("restwell.auth.oauth._state.FLOW_TTL_SECONDS", 0)
    assert_problem(await browser.get(answer), 400, "invalid_sign_in")


async def test_an_account_is_linked_only_if_both_sides_have_verified_the_address(
    browser: OAuthBrowser, client: httpx.AsyncClient, provider: MisbehavingProvider
) -> None:
    """Fails without both checks: an attacker registers the victim's address on one side and waits for the victim."""
    attacker = {"email": "ada@example.com", "password": "a long enough one", "name": "Not Ada"}
    assert (await client.post("/v1/users", json=attacker)).status_code == 201
    assert_problem(await browser.sign_in_with(), 409, "account_exists")
    provider.sign_in_as(**{**ADA, "email": "member@app.example", "email_verified": False})
    assert_problem(await browser.sign_in_with(), 409, "account_exists")
    provider.sign_in_as(**{**ADA, "email": "Member@app.example"})
    assert (await browser.sign_in_with()).status_code == 200
    member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
    assert (await browser.me())["id"] == (await member.get("/v1/users/me")).json()["id"]


def reset_codes(mail_box: MailBox) -> list[str]:
    """The reset codes that were received."""
    return [mail.code for mail in mail_box.mails if mail.subject == "Reset your password"]


@pytest.mark.slow
async def test_an_attacker_loses_a_pre_hijacked_account_when_the_owner_verifies_the_address(
    browser: OAuthBrowser, client: httpx.AsyncClient, app: App, provider: MisbehavingProvider, mail_box: MailBox
) -> None:
    """Fails if a reset keeps the credentials of an account with an unverified address: the attacker keeps access."""
    provider.sign_in_as(**{**ADA, "sub": "666", "email_verified": False})
    assert (await browser.sign_in_with()).status_code == 200
    await client.post("/v1/password-resets", json={"email": "ada@example.com"})
    await finish_jobs(app)
    (code,) = reset_codes(mail_box)
    reset = {"code": code, "password": "an entirely new one"}
    assert (await client.post("/v1/password-resets/completion", json=reset)).status_code == 204
    assert_problem(await browser.sign_in_with(), 409, "account_exists")
    ada = await ApiClient(client).sign_in("ada@example.com", "an entirely new one")
    assert (await ada.get("/v1/users/me")).json()["email_verified"] is True, "the reset code verifies the address"
    provider.sign_in_as(**ADA)
    assert (await browser.sign_in_with()).status_code == 200, "a verified account can be linked"
    await client.post("/v1/password-resets", json={"email": "ada@example.com"})
    await finish_jobs(app)
    (_, reset["code"]) = reset_codes(mail_box)
    assert (await client.post("/v1/password-resets/completion", json=reset)).status_code == 204
    ada = await ApiClient(client).sign_in("ada@example.com", "an entirely new one")
    assert len((await ada.get("/v1/users/me/identities")).json()["items"]) == 1, "the owner's identities are kept"


@each("claimed", ["v(c)@example.com", "a@b..example", "a\u200b@example.com", "a\x00@example.com", "é@example.com"])
async def test_a_claimed_email_that_is_not_an_address_is_refused(
    browser: OAuthBrowser, provider: MisbehavingProvider, claimed: str
) -> None:
    """Fails with a lenient parser: emails of the account are sent to another address."""
    provider.sign_in_as(**{**ADA, "email": claimed})
    assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")
