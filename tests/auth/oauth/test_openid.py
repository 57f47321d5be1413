"""OpenID Connect: the identity comes only from an ID token that is signed, current, and meant for this sign-in."""

import time
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from hostile_provider import (
    ADA,
    CALLBACK,
    CLIENT,
    FLOW,
    METADATA,
    ODD,
    PUBLIC,
    URL,
    HostileProvider,
    hostile,
    id_token,
    tokens,
)
from restwell.auth.oauth import InvalidSignIn, ProviderUnavailable
from restwell.auth.oauth._openid import OpenIdProvider
from restwell.auth.oauth._provider import Client

NO_EMAILS: list[Any] = [5, [], {}, True, "\ud800"]
ODD_KEYS: list[dict[str, Any]] = [
    {"kty": 5}, {"kty": []}, {"x": 5}, {"x": "é"}, {"x": ""}, {"kty": "EC"}, {"kty": "RSA", "n": "", "e": ""},
    {"crv": "X"},
]  # fmt: skip
ANSWERS: dict[str, tuple[str, int, Any]] = {
    **{
        f"id token crit {str(value)[:10]!r}": ("/token", 200, tokens(id_token=id_token({"crit": value})))
        for value in ODD
    },
    **{
        f"id token {name} {str(value)[:10]!r}": ("/token", 200, tokens(id_token=id_token({},
        {name: value})))
        for name in ("iss", "aud", "exp", "nonce", "sub", "iat")
        for value in ODD
        if not (name == "iat" and value in [0, -1, 1.5])
    },
    **{
        f"id token email {str(value)[:10]!r}": ("/token", 200, tokens(id_token=id_token({},
        {"email": value})))
        for value in NO_EMAILS
    },
    **{
        f"id token {str(value)[:10]!r}": ("/token", 200, tokens(id_token=id_token({}, value)))
        for value in (b"", b"null", b"[]", b"[" * 2_000, b"\xff", b'{"exp": 1e400}')
    },
    **{
        f"endpoint {name} {value!r}": ("/.well-known/openid-configuration", 200, {**METADATA, name: value})
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        for value in ("https://[", "https://a:b/", "http://id.example/", "https://é.example", "https://a.example/\n",
        "https://a/#b", "https:///", 5)
        if not (name == "authorization_endpoint" and value in ["https://[", "https://a:b/", "https:///"])
        and not (name == "userinfo_endpoint" and value in ["https://[", "https://a:b/", "https:///"])
    },
    **{
        f"key {index}": ("/jwks", 200, {"keys": [{**PUBLIC, **odd}]})
        for index, odd in enumerate(ODD_KEYS)
    },
    "keys of odd types": ("/jwks", 200, {"keys": [5, None, [], "x"]}),
    "too many keys": ("/jwks", 200, {"keys": [PUBLIC] * 101}),
    "keys null": ("/jwks", 200, {"keys": None}),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_an_invalid_id_token_key_or_endpoint_is_a_sign_in_error(case: str) -> None:
    """Seen to fail: these raised TypeError, UnicodeEncodeError or httpx.InvalidURL."""
    path, status, answer = ANSWERS[case]
    with hostile() as (provider, sign_in):
        provider.answers[path] = status, answer
        with pytest.raises((InvalidSignIn, ProviderUnavailable)):
            sign_in()


def test_an_unknown_kind_of_key_in_the_jwks_is_ignored() -> None:
    """RFC 7517 5. Breaks when one unsupported key invalidates the set, which stops all sign-ins."""
    with hostile() as (provider, sign_in):
        odd = [5, {"kty": "AKP", "kid": "1"}, {"kty": "RSA"}, {**PUBLIC, "crv": 5}]
        provider.answers["/jwks"] = 200, {"keys": [*odd, PUBLIC]}
        assert sign_in()[1].subject == "1"
    with hostile() as (provider, sign_in):
        provider.answers["/jwks"] = 200, {"keys": odd}
        with pytest.raises(ProviderUnavailable):  # a retry would not help
            sign_in()


CLAIMS: dict[str, tuple[dict[str, Any], bool]] = {
    "one audience": ({"aud": ["shop"]}, True),
    "another audience": ({"aud": "other"}, False),
    "several audiences": ({"aud": ["shop", "other"]}, False),
    "several audiences, for this client": ({"aud": ["shop", "other"], "azp": "shop"}, True),
    "for another client": ({"azp": "other"}, False),
    "another nonce": ({"nonce": "other"}, False),
    "another issuer": ({"iss": "https://evil.example"}, False),
    "just expired": ({"exp": -5}, True),
    "expired": ({"exp": -120}, False),
    "of a clock that is ahead": ({"iat": 20}, True),
    "issued in the future": ({"iat": 600}, False),
    "not valid yet": ({"nbf": 600}, False),
}
"""Times are in seconds from now."""


@pytest.mark.parametrize("case", CLAIMS)
def test_an_id_token_is_accepted_only_for_this_sign_in_and_in_its_time(case: str) -> None:
    """OpenID Connect Core 3.1.3.7. Breaks without a check of audience, party, nonce, issuer or times."""
    claims, accepted = CLAIMS[case]
    claims = {name: value + time.time() if isinstance(value, int) else value for name, value in claims.items()}
    with hostile() as (provider, sign_in):
        provider.answers["/token"] = 200, tokens(id_token=id_token(claims=claims))
        if accepted:
            assert sign_in()[1].subject == "1"
        else:
            with pytest.raises(InvalidSignIn):
                sign_in()


def test_a_response_of_another_issuer_is_refused() -> None:
    """RFC 9207: the code of one provider is not sent to another. Breaks without the check of ``iss``."""
    with hostile() as (provider, sign_in):
        assert sign_in(issuer=URL)[1].subject == "1"
        with pytest.raises(InvalidSignIn):
            sign_in(issuer="https://evil.example")
        assert sign_in(issuer=None)[1].subject == "1"
        announced = {**METADATA, "authorization_response_iss_parameter_supported": True}
        provider.answers["/.well-known/openid-configuration"] = 200, announced
        with pytest.raises(InvalidSignIn):
            sign_in(issuer=None)


@pytest.mark.parametrize("change", [{"issuer": f"{URL}/"}, {"token_endpoint": "http://id.example/token"}])
def test_metadata_of_another_issuer_or_without_encryption_is_not_used(change: dict[str, str]) -> None:
    """Breaks without the comparison of the issuer, or of the scheme of each endpoint."""
    with hostile() as (provider, sign_in):
        provider.answers["/.well-known/openid-configuration"] = 200, {**METADATA, **change}
        with pytest.raises(ProviderUnavailable):
            sign_in()
        assert "/token" not in provider.requests


async def test_a_provider_may_change_its_signing_key_while_its_keys_are_cached() -> None:
    """Breaks when an unknown key does not fetch the keys again: no one could sign in for an hour."""
    transport = HostileProvider()
    async with httpx.AsyncClient(transport=transport) as http:
        provider = OpenIdProvider(CLIENT, http)
        transport.answers["/jwks"] = 200, {"keys": [{**PUBLIC, "x": "A" * 43, "kid": "0"}]}
        await provider.authorization_url(FLOW, CALLBACK)
        transport.answers.clear()
        assert (await provider.identify("code", FLOW, CALLBACK, None)).subject == "1"
        transport.requests.clear()
        assert (await provider.identify("code", FLOW, CALLBACK, None)).subject == "1"
        assert transport.requests.keys() == {"/token"}, "metadata and keys are cached"


def test_an_address_that_the_id_token_lacks_comes_from_the_userinfo_of_the_same_user() -> None:
    """Breaks when the subjects are not compared (Core 5.3.2)."""
    with hostile() as (provider, sign_in):
        provider.answers["/token"] = 200, tokens(id_token=id_token(claims={"email": None, "email_verified": False}))
        identity = sign_in()[1]
        assert (identity.email, identity.email_verified) == ("ada@example.com", True)
        provider.answers["/userinfo"] = 200, {**ADA, "sub": "2"}
        with pytest.raises(InvalidSignIn):
            sign_in()


@pytest.mark.parametrize(("said", "verified"), [(True, True), ("true", True), ("false", False), ("yes", False)])
def test_an_address_is_verified_only_if_the_provider_says_so(said: object, verified: bool) -> None:  # noqa: FBT001
    """Breaks when any text counts as true: "false" is one."""
    with hostile() as (provider, sign_in):
        provider.answers["/token"] = 200, tokens(id_token=id_token(claims={"email_verified": said}))
        assert sign_in()[1].email_verified is verified


def test_the_secret_is_sent_as_the_metadata_asks() -> None:
    client = Client("okta", "sh:op", "s e:cret", URL)
    with hostile() as (provider, sign_in):
        provider.answers["/token"] = 200, tokens(id_token=id_token(claims={"aud": client.id}))
        sign_in(client=client)
        sent = provider.requests["/token"].headers["authorization"].removeprefix("Basic ")
        assert b64decode(sent) == b"sh%3Aop:s+e%3Acret", "encoded, as RFC 6749 2.3.1 says"
        in_form = {**METADATA, "token_endpoint_auth_methods_supported": ["client_secret_post"]}
        provider.answers["/.well-known/openid-configuration"] = 200, in_form
        sign_in(client=client)
        form = dict(parse_qsl(provider.requests["/token"].content.decode()))
        assert (form["client_id"], form["client_secret"]) == ("sh:op", "s e:cret")
        assert "authorization" not in provider.requests["/token"].headers
