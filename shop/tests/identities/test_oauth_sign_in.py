"""Sign-in with identity providers, against a provider in a separate process."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from api_client import Json, assert_problem
from cases import each
from misbehaving_provider import ADA, CLIENT_ID, MisbehavingProvider
from oauth_browser import OAuthBrowser, callback_path, changed
from restwell import App
from restwell.accounts._identities import queries
from restwell.accounts._identities.models import identities
from restwell.database import param, query
from restwell.settings import OauthSettings
from restwell.testing import MailBox, finish_jobs
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

NAMES = ("okta", "github", "facebook")
CALLBACK = "http://localhost:8000/v1/identities/{}/callback"
LOCK = query(
    "test.lock_identities",
    select(identities.c.provider).where(identities.c.user_id == param("user_id")).with_for_update(),
    into=str,
)


@pytest.fixture
def name() -> str:
    """The name of the provider."""
    return "okta"


@pytest.fixture
def provider(name: str) -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(CALLBACK.format(name)) as started:
        yield started


@pytest.fixture
def app(settings: ShopSettings, provider: MisbehavingProvider) -> App:
    secrets = tuple(SecretStr(provider.setting(one)) for one in NAMES)
    return create_app(settings.model_copy(update={"oauth": OauthSettings(providers=secrets)}))


@pytest.fixture
def browser(client: httpx.AsyncClient) -> OAuthBrowser:
    return OAuthBrowser(client)


@pytest.mark.parametrize("name", NAMES)
async def test_a_first_sign_in_creates_an_account_and_the_next_one_reuses_it(
    browser: OAuthBrowser, client: httpx.AsyncClient, name: str
) -> None:
    answer = await browser.sign_in_with(name)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"token_type": "Cookie", "expires_in": 900}
    me = await browser.me()
    verified = name != "facebook"  # has no such claim
    assert (me["email"], me["name"], me["email_verified"]) == ("ada@example.com", "Ada Lovelace", verified)
    again = OAuthBrowser(client)
    assert (await again.sign_in_with(name)).status_code == 200
    assert (await again.me())["id"] == me["id"]
    assert OAUTH_STATE_COOKIE not in browser.cookies


async def test_the_callback_redirects_to_return_to(browser: OAuthBrowser, provider: MisbehavingProvider) -> None:
    answer = await browser.sign_in_with(query="?return_to=/account%3Ftab%3D1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?tab=1")
    assert await browser.me()
    provider.denies = True
    answer = await browser.sign_in_with(query="?return_to=/account%3Ftab%3D1")
    assert answer.headers["location"] == "/account?tab=1&error=sign_in_refused"
    assert (await browser.sign_in_with(query="?return_to=/%23a")).headers["location"] == "/?error=sign_in_refused#a"


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


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_provider_with_invalid_metadata_or_tokens_is_a_503(
    browser: OAuthBrowser, provider: MisbehavingProvider
) -> None:
    provider.misbehave(metadata={"issuer": "https://evil.example"})
    answer = await browser.get("/v1/identities/okta/sign-in")
    assert_problem(answer, 503, "provider_unavailable")
    assert answer.headers["retry-after"]
    for endpoint in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
        provider.misbehave(metadata={endpoint: "javascript:alert(1)"})
        assert_problem(await browser.get("/v1/identities/okta/sign-in"), 503, "provider_unavailable")
    provider.misbehave()
    back = await browser.to_provider()
    for status in (500, 429):
        provider.misbehave(fail=status)
        assert_problem(await browser.get(back), 503, "provider_unavailable")
    assert_problem(await browser.get("/v1/identities/nobody/sign-in"), 404, "not_found")


UNUSABLE: tuple[tuple[str, str, Any, int], ...] = (
    ("okta", "/token", "<html>", 503),
    ("okta", "/token", {"token_type": "Bearer"}, 400),
    ("okta", "/userinfo", {"email": "ada@example.com"}, 400),
    ("okta", "/jwks", {"keys": [{"kty": "none"}]}, 503),
    ("okta", "/.well-known/openid-configuration", {"issuer": 1}, 503),
    ("github", "/login/oauth/access_token", [], 400),
    ("github", "/api/v3/user", {"login": "ada"}, 400),
    ("github", "/api/v3/user/emails", {"message": "Not found"}, 400),
    ("facebook", "/me", {"id": "1 OR 1=1", "name": "Ada"}, 400),
)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("name", "path", "answer", "status"), UNUSABLE)
async def test_an_invalid_provider_response_is_a_specific_error(
    browser: OAuthBrowser, provider: MisbehavingProvider, name: str, path: str, answer: Any, status: int
) -> None:
    if path in {"/jwks", "/.well-known/openid-configuration"}:
        provider.misbehave(answers={path: answer})
        refused = await browser.get(f"/v1/identities/{name}/sign-in")
    else:
        back = await browser.to_provider(name)
        provider.misbehave(answers={path: answer}, claims={"email": None})
        refused = await browser.get(back)
    assert_problem(refused, status, "invalid_sign_in" if status == 400 else "provider_unavailable")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_unreachable_provider_is_a_503(browser: OAuthBrowser, provider: MisbehavingProvider) -> None:
    provider.stop()
    assert_problem(await browser.get("/v1/identities/okta/sign-in"), 503, "provider_unavailable")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_provider_can_rotate_its_signing_key(browser: OAuthBrowser, provider: MisbehavingProvider) -> None:
    assert (await browser.sign_in_with()).status_code == 200
    provider.rotate_key()
    assert (await browser.sign_in_with()).status_code == 200


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_email_address_can_come_from_the_userinfo_endpoint_only(
    browser: OAuthBrowser, provider: MisbehavingProvider
) -> None:
    provider.misbehave(claims={"email": None, "email_verified": None})
    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["email"] == "ada@example.com"


async def test_an_account_is_linked_only_if_both_sides_have_verified_the_address(
    browser: OAuthBrowser, client: httpx.AsyncClient, provider: MisbehavingProvider
) -> None:
    """Fails without both checks: an attacker registers the victim's address on one side and waits for the victim."""
    attacker = {"email": "ada@example.com", "password": "a long enough one", "name": "Not Ada"}
    assert (await client.post("/v1/users", json=attacker)).status_code == 201
    assert_problem(await browser.sign_in_with(), 409, "account_exists")
    provider.sign_in_as(**{**ADA, "email": "customer1@shop.example", "email_verified": False})
    assert_problem(await browser.sign_in_with(), 409, "account_exists")
    provider.sign_in_as(**{**ADA, "email": "Customer1@shop.example"})
    assert (await browser.sign_in_with()).status_code == 200
    customer = await ShopClient(client).sign_in("customer1@shop.example")
    assert (await browser.me())["id"] == (await customer.get("/v1/users/me")).json()["id"]


def reset_codes(mail_box: MailBox) -> list[str]:
    """The reset codes that were received."""
    return [mail.code for mail in mail_box.mails if mail.subject == "Reset your password"]


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
    ada = await ShopClient(client).sign_in("ada@example.com", "an entirely new one")
    assert (await ada.get("/v1/users/me")).json()["email_verified"] is True, "the reset code verifies the address"
    provider.sign_in_as(**ADA)
    assert (await browser.sign_in_with()).status_code == 200, "a verified account can be linked"
    await client.post("/v1/password-resets", json={"email": "ada@example.com"})
    await finish_jobs(app)
    (_, reset["code"]) = reset_codes(mail_box)
    assert (await client.post("/v1/password-resets/completion", json=reset)).status_code == 204
    ada = await ShopClient(client).sign_in("ada@example.com", "an entirely new one")
    assert len((await ada.get("/v1/users/me/identities")).json()["items"]) == 1, "the owner's identities are kept"


async def test_a_deactivated_user_or_one_without_an_address_cannot_sign_in(
    browser: OAuthBrowser, admin: ShopClient, provider: MisbehavingProvider
) -> None:
    await browser.sign_in_with()
    me = await browser.me()
    assert (await admin.send("PATCH", f"/v1/users/{me['id']}", {"active": False})).status_code == 200
    assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")
    for email in (None, "no address", "a@b.c\nBcc: x@y.z"):
        provider.sign_in_as(**{**ADA, "sub": "2", "email": email})
        assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")


async def test_a_signed_in_user_adds_and_removes_a_linked_provider(
    browser: OAuthBrowser, client: httpx.AsyncClient, customer: ShopClient, other: ShopClient
) -> None:
    path = "/v1/users/me/identities"
    begun = await customer.send("POST", f"{path}/okta")
    browser.cookies[OAUTH_STATE_COOKIE] = SimpleCookie(begun.headers["set-cookie"])[OAUTH_STATE_COOKIE].value
    assert (await browser.get(await callback_path(begun.json()["url"]))).status_code == 200
    assert ACCESS_COOKIE not in browser.cookies, "linking does not sign in"
    (own,) = (await customer.get(path)).json()["items"]
    assert (own["provider"], own["email"]) == ("okta", "ada@example.com")

    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["email"] == "customer1@shop.example"

    stolen = await other.send("POST", f"{path}/okta")
    attacker = OAuthBrowser(client)
    attacker.cookies[OAUTH_STATE_COOKIE] = SimpleCookie(stolen.headers["set-cookie"])[OAUTH_STATE_COOKIE].value
    assert_problem(await attacker.get(await callback_path(stolen.json()["url"])), 409, "identity_taken")
    assert (await other.get(path)).json()["items"] == []

    assert_problem(await other.send("DELETE", f"{path}/okta"), 404, "not_found")
    # The second of two removals gets a 404. It was a 409 once, as for the last credential.
    removals = await asyncio.gather(*(customer.send("DELETE", f"{path}/okta") for _ in range(4)))
    assert sorted(one.status_code for one in removals) == [204, 404, 404, 404]
    found = [one["type"] for one in (await customer.get("/v1/security-events")).json()["items"]]
    assert found[:3] == ["identity_unlinked", "signed_in", "identity_linked"]


async def test_the_last_linked_provider_cannot_be_removed_without_a_password(
    browser: OAuthBrowser, client: httpx.AsyncClient
) -> None:
    await browser.sign_in_with()
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    answer = await client.delete("/v1/users/me/identities/okta", headers=headers)
    assert_problem(answer, 409, "last_credential")


async def test_the_last_two_providers_cannot_be_removed_at_once(
    browser: OAuthBrowser, client: httpx.AsyncClient, app: App
) -> None:
    """Fails without the row lock: on PostgreSQL, each request sees the other's provider, and both are removed."""
    await browser.sign_in_with()
    me = await browser.me()
    async with app.kit.database.transaction() as tx:
        now = datetime.now(UTC)
        for provider in ("github", "facebook"):
            linked = {"provider": provider, "subject": "1", "email": None, "created_at": now}
            await tx.run(queries.insert_identity, user_id=UUID(me["id"]), **linked)
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    async with app.kit.database.transaction() as tx:
        await tx.all(LOCK, user_id=UUID(me["id"]))  # so that both transactions overlap
        removals = [
            asyncio.create_task(client.delete(f"/v1/users/me/identities/{provider}", headers=headers))
            for provider in NAMES
        ]
        await asyncio.sleep(0.3)
    assert sorted([(await one).status_code for one in removals]) == [204, 204, 409]
    left = (await client.get("/v1/users/me/identities", headers=headers)).json()["items"]
    assert len(left) == 1


async def test_a_user_who_deleted_the_account_can_register_again(
    browser: OAuthBrowser, client: httpx.AsyncClient
) -> None:
    await browser.sign_in_with()
    me = await browser.me()
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    assert (await client.delete("/v1/users/me", headers=headers)).status_code == 204
    browser.cookies.clear()
    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["id"] != me["id"]


async def test_the_identity_providers_are_listed(anyone: ShopClient) -> None:
    listed = (await anyone.get("/v1/identities")).json()["items"]
    assert [one["name"] for one in listed] == list(NAMES)
    assert listed[0]["url"] == "/v1/identities/okta/sign-in"


@each("claimed", ["v(c)@example.com", "a@b..example", "a\u200b@example.com", "a\x00@example.com", "é@example.com"])
async def test_a_claimed_email_that_is_not_an_address_is_refused(
    browser: OAuthBrowser, provider: MisbehavingProvider, claimed: str
) -> None:
    """Fails with a lenient parser: emails of the account are sent to another address."""
    provider.sign_in_as(**{**ADA, "email": claimed})
    assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")


async def test_an_email_claim_of_a_provider_is_stored_in_canonical_form(
    browser: OAuthBrowser, provider: MisbehavingProvider
) -> None:
    provider.sign_in_as(**{**ADA, "email": "Ada@B\u00dcCHER.example"})
    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["email"] == "ada@xn--bcher-kva.example"
