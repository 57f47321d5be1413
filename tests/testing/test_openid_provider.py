"""The identity provider of tests: a real sign-in, its rejections, and tokens for a resource server."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec.structs import replace

from restwell.auth.oauth import (
    AuthorizationFlow,
    AuthorizationFlows,
    Identity,
    InvalidSignIn,
    Providers,
    ProviderUnavailable,
)
from restwell.testing import ApiClient, OpenIdProvider

CALLBACK = "https://app.example/callback"
FLOW: AuthorizationFlow = AuthorizationFlows(b"key").start("okta")


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with OpenIdProvider(client_id="the app", client_secret="a:b/c", redirect_uri=CALLBACK) as started:
        yield started


class Caller:
    """What an application and its browser do."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self.providers = Providers([provider.setting("okta")])

    async def to_callback(self, redirect_uri: str = CALLBACK, **changes: str) -> httpx.Response:
        url = httpx.URL(await self.providers.get("okta").authorization_url(FLOW, redirect_uri))
        async with httpx.AsyncClient() as browser:
            return await browser.get(url.copy_merge_params(changes))

    async def identify(self, code: str, redirect_uri: str = CALLBACK, flow: AuthorizationFlow = FLOW) -> Identity:
        issuer = self.providers.get("okta").client.url
        return await self.providers.get("okta").identify(code, flow, redirect_uri, issuer)

    async def sign_in(self) -> Identity:
        return await self.identify(parameters(await self.to_callback())["code"])


def person(identity: Identity) -> tuple[str, str | None, bool, str]:
    return identity.subject, identity.email, identity.email_verified, identity.name


async def read_keys(provider: OpenIdProvider) -> list[dict[str, str]]:
    async with httpx.AsyncClient() as client:
        keys: list[dict[str, str]] = (await client.get(f"{provider.url}/jwks")).json()["keys"]
    return keys


def parameters(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@pytest.fixture
async def caller(provider: OpenIdProvider) -> Any:
    made = Caller(provider)
    yield made
    await made.providers.close()


async def test_a_browser_is_signed_in_as_the_chosen_person(caller: Caller, provider: OpenIdProvider) -> None:
    assert person(await caller.sign_in()) == ("248289761001", "ada@example.com", True, "Ada Lovelace")
    provider.sign_in_as("7", email="eve@example.com", email_verified=False, name="Eve")
    assert person(await caller.sign_in()) == ("7", "eve@example.com", False, "Eve")
    provider.sign_in_as("8", email_verified=False)
    assert person(await caller.sign_in()) == ("8", None, False, "")


async def test_the_client_of_one_caller_goes_to_the_provider_and_back(caller: Caller, provider: OpenIdProvider) -> None:
    url = await caller.providers.get("okta").authorization_url(FLOW, CALLBACK)
    app = httpx.MockTransport(lambda _: httpx.Response(303, headers={"location": url}))
    async with httpx.AsyncClient(transport=app, base_url="http://app.test") as client:
        back = await ApiClient(client).authorize("/sign-in")
    assert back.startswith("/callback?state=")
    assert dict(parse_qsl(urlsplit(back).query))["iss"] == provider.url


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "response_type", "code_challenge_method", "state"])
async def test_a_wrong_authorization_request_is_rejected_and_its_parameter_named(caller: Caller, name: str) -> None:
    """Breaks if the parameter is not checked: the application would fail only at the real provider."""
    answer = await caller.to_callback(**{name: ""})
    assert (answer.status_code, answer.json()["error_description"]) == (400, f"wrong parameters: {name}")


async def test_a_code_fits_only_its_request_and_only_once(caller: Caller) -> None:
    """Breaks if the verifier, the redirect URI or the first use of a code is not checked."""
    code = parameters(await caller.to_callback())["code"]
    assert (await caller.identify(code)).subject == "248289761001"
    others = [{}, {"redirect_uri": f"{CALLBACK}/2"}, {"flow": replace(FLOW, verifier="v" * 43)}]
    for number, other in enumerate(others):
        if number:
            code = parameters(await caller.to_callback())["code"]
        with pytest.raises(InvalidSignIn):
            await caller.identify(code, **other)  # type: ignore[arg-type]  # each has its own parameter


async def test_a_wrong_client_secret_is_rejected(caller: Caller, provider: OpenIdProvider) -> None:
    provider.client_secret = "changed"
    with pytest.raises(InvalidSignIn):
        await caller.sign_in()


async def test_a_provider_without_a_registered_redirect_uri_accepts_any() -> None:
    with OpenIdProvider() as provider:
        caller = Caller(provider)
        assert "code" in parameters(await caller.to_callback("http://localhost:1/back"))
        await caller.providers.close()


async def test_the_person_may_deny_and_the_provider_may_be_down(caller: Caller, provider: OpenIdProvider) -> None:
    provider.denies = True
    assert parameters(await caller.to_callback())["error"] == "access_denied"
    provider.denies = False
    code = parameters(await caller.to_callback())["code"]
    provider.is_down = True
    with pytest.raises(ProviderUnavailable):
        await caller.identify(code)
    provider.is_down = False
    assert (await caller.identify(code)).subject == "248289761001"


async def test_after_a_rotation_only_the_new_key_is_published(caller: Caller, provider: OpenIdProvider) -> None:
    assert (await caller.sign_in()).subject == "248289761001"
    before = await read_keys(provider)
    provider.rotate_key()
    assert (await caller.sign_in()).subject == "248289761001"
    after = await read_keys(provider)
    assert (len(after), before[0]["kid"] == after[0]["kid"], "d" in after[0]) == (1, False, False)


def test_an_access_token_is_verified_with_the_published_keys(provider: OpenIdProvider) -> None:
    """Breaks if it is signed with a key that is not published."""
    token = provider.access_token(sub="7", audience="https://api.example", scope="a:read b:read", tenant="t", jti=None)
    metadata = httpx.get(f"{provider.url}/.well-known/oauth-authorization-server").json()
    keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    claims = decoded.claims
    assert abs(claims.pop("iat") - time.time()) < 10
    assert abs(claims.pop("exp") - time.time() - 300) < 10
    assert claims == {
        "iss": provider.url,
        "sub": "7",
        "aud": "https://api.example",
        "client_id": "the app",
        "scope": "a:read b:read",
        "tenant": "t",
    }
    assert decoded.header["typ"] == "at+jwt"
    provider.rotate_key()
    with pytest.raises(JoseError):
        jwt.decode(provider.access_token(sub="7", audience="x"), keys, algorithms=["ES256"])


def test_a_stopped_provider_is_unreachable(provider: OpenIdProvider) -> None:
    for _ in range(2):
        provider.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(provider.url)


def test_unknown_paths_and_tokens_are_rejected(provider: OpenIdProvider) -> None:
    assert httpx.get(f"{provider.url}/nothing").status_code == 404
    answer = httpx.get(f"{provider.url}/userinfo", headers={"authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
