"""Forged ID tokens, stolen codes and foreign responses, with a provider on a port of this machine."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeyFlexible, OctKey

from loopback_issuer import ADA, CALLBACK, METADATA_PATH, SECRET, LoopbackIssuer, loopback_issuer, new_key
from restwell.auth import _issuer
from restwell.auth._http import open_client
from restwell.auth.oauth import AuthorizationFlows, Identity, InvalidSignIn, ProviderUnavailable
from restwell.auth.oauth._openid import OpenIdProvider
from scoreboard import Score

FLOWS = AuthorizationFlows(b"key")


@pytest.fixture
async def issuer() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
async def provider(issuer: LoopbackIssuer) -> AsyncIterator[OpenIdProvider]:
    async with open_client(keep_connections=True) as http:
        yield OpenIdProvider(issuer.client(), http)


async def sign_in(issuer: LoopbackIssuer, provider: OpenIdProvider, forged: str | None = None) -> Identity:
    """Sign in, with another ID token than the provider's, if one is given."""
    flow = FLOWS.start("okta")
    code = issuer.authorize(await provider.authorization_url(flow, CALLBACK))
    if forged is not None:
        issuer.answers["/token"] = 200, {"access_token": "t", "id_token": forged}
    return await provider.identify(code, flow, CALLBACK, issuer.url)


def claims_of(issuer: LoopbackIssuer, nonce: str) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer.url, "aud": "shop", "iat": now, "exp": now + 300, "nonce": nonce, **ADA}


def unsigned(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """A token without a signature, or with an HMAC of any secret."""
    said = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    )
    signature = hmac.digest(secret, said.encode(), "sha256") if secret is not None else b""
    return f"{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


MINE = ECKey.generate_key("P-256", {"kid": "1"})
PUBLIC_MINE = MINE.as_dict(private=False)
FORGED: dict[str, Callable[[LoopbackIssuer, dict[str, Any]], str]] = {
    "not signed": lambda _, claims: unsigned({"alg": "none"}, claims),
    "not signed, in other letters": lambda _, claims: unsigned({"alg": "nOnE", "kid": "1"}, claims),
    "HS256 with the public key": lambda issuer, claims: unsigned(
        {"alg": "HS256", "kid": "1"}, claims, issuer.key.as_pem(private=False)
    ),
    "HS256 with the client secret": lambda _, claims: unsigned({"alg": "HS256"}, claims, SECRET.encode()),
    "HS256 with an empty secret": lambda _, claims: unsigned({"alg": "HS256", "kid": "1"}, claims, b""),
    "another key": lambda issuer, claims: issuer.sign(claims, key=MINE),
    "a key in the header": lambda issuer, claims: issuer.sign(claims, key=MINE, jwk=PUBLIC_MINE),
    "a key by an address": lambda issuer, claims: issuer.sign(claims, key=MINE, jku=f"{issuer.url}/evil"),
    "a certificate by an address": lambda issuer, claims: issuer.sign(claims, key=MINE, x5u=f"{issuer.url}/evil"),
    "an unknown key": lambda issuer, claims: issuer.sign(claims, key=MINE, kid="2"),
    "a critical parameter": lambda issuer, claims: issuer.sign(claims, crit=["b64"], b64=True),
    "another nonce": lambda issuer, claims: issuer.sign({**claims, "nonce": "x"}),
    "no nonce": lambda issuer, claims: issuer.sign({**claims, "nonce": None}),
    "another audience": lambda issuer, claims: issuer.sign({**claims, "aud": "other"}),
    "for another party": lambda issuer, claims: issuer.sign({**claims, "azp": "other"}),
    "another issuer": lambda issuer, claims: issuer.sign({**claims, "iss": "https://evil.example"}),
    "an issuer with a slash": lambda issuer, claims: issuer.sign({**claims, "iss": f"{issuer.url}/"}),
    "expired": lambda issuer, claims: issuer.sign({**claims, "exp": time.time() - 120}),
    "no end": lambda issuer, claims: issuer.sign({**claims, "exp": None}),
    "no subject": lambda issuer, claims: issuer.sign({**claims, "sub": None}),
    "a nonce, then another": lambda issuer, claims: issuer.sign(json.dumps(claims)[:-1].encode() + b', "nonce": "x"}'),
    "an audience, then another": lambda issuer, claims: issuer.sign(
        json.dumps(claims)[:-1].encode() + b', "aud": "other"}'
    ),
    "an access token": lambda issuer, _: issuer.access_token(),
    "nothing": lambda _, __: "",
}


@pytest.mark.scoreboard("A8", "ID token attacks", "100% rejected", backend="none")
async def test_a_forged_id_token_identifies_no_user(
    issuer: LoopbackIssuer, provider: OpenIdProvider, score: Score
) -> None:
    """Breaks without a check of key, algorithm, nonce, audience, issuer or expiry, or with a key from the token."""
    flow = FLOWS.start("okta")
    url = await provider.authorization_url(flow, CALLBACK)
    accepted = []
    for name, forge in FORGED.items():
        code = issuer.authorize(url)
        issuer.answers["/token"] = 200, {"access_token": "t", "id_token": forge(issuer, claims_of(issuer, flow.nonce))}
        try:
            await provider.identify(code, flow, CALLBACK, issuer.url)
        except InvalidSignIn:
            continue
        accepted.append(name)
    score.note(f"{len(FORGED) - len(accepted)} of {len(FORGED)} rejected")
    assert accepted == []
    assert "GET /evil" not in issuer.requests
    issuer.answers.clear()
    assert (await sign_in(issuer, provider)).subject == "1"


async def test_a_symmetric_key_that_the_provider_publishes_is_not_used(
    issuer: LoopbackIssuer, provider: OpenIdProvider
) -> None:
    """Breaks when the algorithms are not pinned: who reads the key set could sign."""
    key: KeyFlexible = OctKey.generate_key(256, {"kid": "s"})
    assert isinstance(key, OctKey)
    issuer.published.append(key.as_dict(private=True))
    flow = FLOWS.start("okta")
    code = issuer.authorize(await provider.authorization_url(flow, CALLBACK))
    forged = issuer.sign(claims_of(issuer, flow.nonce), key=key, alg="HS256", kid="s")
    issuer.answers["/token"] = 200, {"access_token": "t", "id_token": forged}
    with pytest.raises(InvalidSignIn):
        await provider.identify(code, flow, CALLBACK, None)


async def test_an_id_token_of_another_sign_in_is_refused(issuer: LoopbackIssuer, provider: OpenIdProvider) -> None:
    """Breaks without the nonce: a stolen ID token could be injected into a flow of the attacker (RFC 9700 4.5)."""
    stolen = issuer.id_token(FLOWS.start("okta").nonce)
    with pytest.raises(InvalidSignIn):
        await sign_in(issuer, provider, stolen)


async def test_a_stolen_code_fits_no_other_verifier_and_no_second_exchange(
    issuer: LoopbackIssuer, provider: OpenIdProvider
) -> None:
    """Breaks when the verifier is not of this flow: the attacker exchanges the code of a victim (RFC 7636)."""
    flow, attacker = FLOWS.start("okta"), FLOWS.start("okta")
    url = await provider.authorization_url(flow, CALLBACK)
    with pytest.raises(InvalidSignIn):
        await provider.identify(issuer.authorize(url), attacker, CALLBACK, issuer.url)
    code = issuer.authorize(url)
    assert (await provider.identify(code, flow, CALLBACK, issuer.url)).subject == "1"
    with pytest.raises(InvalidSignIn):
        await provider.identify(code, flow, CALLBACK, issuer.url)


async def test_a_code_of_another_issuer_is_not_sent_to_this_one(
    issuer: LoopbackIssuer, provider: OpenIdProvider
) -> None:
    """RFC 9207. Breaks when the code is exchanged before ``iss`` is compared: a mix-up would leak it."""
    flow = FLOWS.start("okta")
    code = issuer.authorize(await provider.authorization_url(flow, CALLBACK))
    for other in ("https://evil.example", f"{issuer.url}/", ""):
        with pytest.raises(InvalidSignIn):
            await provider.identify(code, flow, CALLBACK, other)
    issuer.answers[METADATA_PATH] = 200, {**issuer.metadata, "authorization_response_iss_parameter_supported": True}
    await provider._issuer.refresh()
    with pytest.raises(InvalidSignIn):
        await provider.identify(code, flow, CALLBACK, None)
    assert issuer.count("/token") == 0


async def test_a_provider_signs_with_a_new_key_from_one_sign_in_to_the_next(
    issuer: LoopbackIssuer, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when an unknown key does not fetch the keys again, and when the old key stays valid."""
    await sign_in(issuer, provider)
    old = issuer.key
    issuer.rotate("2")
    assert (await sign_in(issuer, provider)).subject == "1"
    monkeypatch.setattr(_issuer, "REFRESH_SECONDS", 0)
    issuer.key = old
    with pytest.raises(InvalidSignIn):
        await sign_in(issuer, provider)
    issuer.key = new_key("2")
    issuer.published = [issuer.key.as_dict(private=False)]
    assert (await sign_in(issuer, provider)).subject == "1", "also a new key with the id of the old one"


async def test_userinfo_of_another_user_identifies_no_user(issuer: LoopbackIssuer, provider: OpenIdProvider) -> None:
    """Core 1.0, 5.3.2. Breaks when the subjects are not compared."""
    issuer.claims = {"email": None, "email_verified": None}
    assert (await sign_in(issuer, provider)).email == "ada@example.com"
    issuer.answers["/userinfo"] = 200, {**ADA, "sub": "2"}
    with pytest.raises(InvalidSignIn):
        await sign_in(issuer, provider)


async def test_a_provider_that_stops_after_the_redirect_is_unavailable(
    issuer: LoopbackIssuer, provider: OpenIdProvider
) -> None:
    """Breaks when an outage is an invalid sign-in: the user would be told to start again, in vain."""
    for status in (500, 503, 429):
        issuer.answers["/token"] = status, {"error": "server_error"}
        with pytest.raises(ProviderUnavailable):
            await sign_in(issuer, provider)
