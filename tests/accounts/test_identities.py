"""Sign-in with identity providers, against a provider on a real port."""

from typing import Any

import httpx
import pytest

from accounts_app import create_app
from api_client import assert_problem
from misbehaving_provider import ADA, MisbehavingProvider
from oauth_browser import NAMES, OAuthBrowser
from restwell import App
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.web import OAUTH_STATE_COOKIE


@pytest.fixture
def app(oauth_settings: Settings) -> App:
    return create_app(oauth_settings)


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
    assert_problem(await browser.get("/v1/identities/unknown/sign-in"), 404, "not_found")


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


async def test_a_deactivated_user_or_one_without_an_address_cannot_sign_in(
    browser: OAuthBrowser, admin: ApiClient, provider: MisbehavingProvider
) -> None:
    await browser.sign_in_with()
    me = await browser.me()
    assert (await admin.send("PATCH", f"/v1/users/{me['id']}", {"active": False})).status_code == 200
    assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")
    for email in (None, "no address", "a@b.c\nBcc: x@y.z"):
        provider.sign_in_as(**{**ADA, "sub": "2", "email": email})
        assert_problem(await browser.sign_in_with(), 403, "sign_in_refused")


async def test_the_identity_providers_are_listed(anyone: ApiClient) -> None:
    listed = (await anyone.get("/v1/identities")).json()["items"]
    assert [one["name"] for one in listed] == list(NAMES)
    assert listed[0]["url"] == "/v1/identities/okta/sign-in"


async def test_an_email_claim_of_a_provider_is_stored_in_canonical_form(
    browser: OAuthBrowser, provider: MisbehavingProvider
) -> None:
    provider.sign_in_as(**{**ADA, "email": "Ada@B\u00dcCHER.example"})
    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["email"] == "ada@xn--bcher-kva.example"
