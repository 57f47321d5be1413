"""Whole sign-ins with each kind of provider on a port of this machine, and what they write to the log."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from loopback_issuer import CALLBACK, METADATA_PATH, SECRET, LoopbackIssuer, broken, loopback_issuer
from restwell.auth.oauth import AuthorizationFlows, Identity, InvalidSignIn, Providers, ProviderUnavailable

FLOWS = AuthorizationFlows(b"key")
NAMES = ["okta", "github", "facebook"]


@pytest.fixture
async def issuer() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
async def providers(issuer: LoopbackIssuer) -> AsyncIterator[Providers]:
    configured = providers_of(issuer, SECRET)
    yield configured
    await configured.close()


def providers_of(issuer: LoopbackIssuer, secret: str) -> Providers:
    client = f"shop:{quote(secret, safe='')}"
    return Providers(f"{name}={issuer.url.replace('://', f'://{client}@')}" for name in NAMES)


async def sign_in(issuer: LoopbackIssuer, providers: Providers, name: str) -> Identity:
    flow = FLOWS.start(name)
    provider = providers.get(name)
    code = issuer.authorize(await provider.authorization_url(flow, CALLBACK))
    returned = FLOWS.resume(flow.cookie, name, flow.state)
    return await provider.identify(code, returned, CALLBACK, None)


@pytest.mark.parametrize("name", NAMES)
async def test_a_user_signs_in_with_each_provider(issuer: LoopbackIssuer, providers: Providers, name: str) -> None:
    """Breaks without the proof of the secret for Facebook, and when a cookie of a provider is sent back."""
    await sign_in(issuer, providers, name)
    identity = await sign_in(issuer, providers, name)
    assert (identity.provider, identity.subject, identity.email) == (name, "1", "ada@example.com")
    assert identity.email_verified is (name != "facebook")
    assert not any("\r\ncookie:" in head.lower() for head in issuer.heads)


@pytest.mark.parametrize("name", NAMES)
async def test_a_client_with_a_wrong_secret_identifies_no_user(issuer: LoopbackIssuer, name: str) -> None:
    wrong = providers_of(issuer, "wrong")
    with pytest.raises(InvalidSignIn):
        await sign_in(issuer, wrong, name)
    await wrong.close()


async def test_a_code_that_no_provider_issues_is_not_sent_to_it(issuer: LoopbackIssuer, providers: Providers) -> None:
    """Breaks without the limit: the query of a callback would be a request body of any size."""
    flow = FLOWS.start("github")
    with pytest.raises(InvalidSignIn):
        await providers.get("github").identify("x" * 2_049, flow, CALLBACK, None)
    assert issuer.requests == []


async def test_the_graph_api_refuses_a_token_without_the_proof_of_the_secret(issuer: LoopbackIssuer) -> None:
    """Breaks when the provider of the tests accepts any proof: then none of them would show that it is sent."""
    assert issuer._facebook_user("/me?appsecret_proof=00")[0] == 400


GITHUB: dict[str, tuple[str, tuple[int, Any]]] = {
    "an error with status 200": ("/login/oauth/access_token", (200, {"error": "bad_verification_code"})),
    "a revoked token": ("/api/v3/user", (401, {"message": "Bad credentials"})),
    "no permission to read addresses": ("/api/v3/user/emails", (404, {"message": "Not Found"})),
}


@pytest.mark.parametrize("case", GITHUB)
async def test_a_refusal_of_github_is_an_invalid_sign_in(
    issuer: LoopbackIssuer, providers: Providers, case: str
) -> None:
    path, issuer.answers[path] = GITHUB[case]
    with pytest.raises(InvalidSignIn):
        await sign_in(issuer, providers, "github")


@pytest.mark.parametrize(
    ("emails", "expected"),
    [
        ([{"email": "a@example.com", "primary": False, "verified": True}], (None, False)),
        ([{"email": "a@example.com", "primary": True, "verified": False}], ("a@example.com", False)),
        ([], (None, False)),
    ],
)
async def test_github_vouches_only_for_a_verified_primary_address(
    issuer: LoopbackIssuer, providers: Providers, emails: list[Any], expected: tuple[str | None, bool]
) -> None:
    """Breaks when the first address is taken, or when an unverified one counts as verified."""
    issuer.answers["/api/v3/user/emails"] = 200, emails
    identity = await sign_in(issuer, providers, "github")
    assert (identity.email, identity.email_verified) == expected


ANSWERS: list[Any] = [(500, {}), (400, {"error": "x"}), (302, {}), (200, 5), (200, b"<html>"), broken]
FAULTS: list[tuple[str, str, Any]] = [
    (name, path, answer)
    for name, paths in {
        "okta": (METADATA_PATH, "/jwks", "/token", "/userinfo"),
        "github": ("/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"),
        "facebook": ("/oauth/access_token", "/me"),
    }.items()
    for path in paths
    for answer in ANSWERS
]


@pytest.mark.slow
async def test_no_failure_writes_a_secret_a_code_or_a_token_to_the_log(
    issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when a request, its form or its URL with parameters is part of a log entry."""
    issuer.claims = {"email": None}
    codes: list[str] = []
    authorize = issuer.authorize

    def remember(url: str) -> str:
        codes.append(authorize(url))
        return codes[-1]

    monkeypatch.setattr(issuer, "authorize", remember)
    with capture_logs() as entries:
        for name, path, answer in FAULTS:
            issuer.answers = {path: answer}
            providers = providers_of(issuer, SECRET)
            with pytest.raises((InvalidSignIn, ProviderUnavailable)):
                await sign_in(issuer, providers, name)
            await providers.close()
    assert len(entries) >= len(FAULTS)
    log = repr(entries)
    secrets = [SECRET, quote(SECRET, safe=""), "the-access-token", "appsecret_proof", "code_verifier", "Bearer", *codes]
    assert [secret for secret in secrets if secret in log] == []
