"""Malformed responses of identity providers: the sign-in succeeds or fails with a documented error."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import strategies as st

from fuzzing import MARK, fuzz
from hostile_provider import ADA, CALLBACK, FLOW, KINDS, METADATA, ODD, PUBLIC, RIGHT, URL, hostile, id_token, tokens
from restwell.auth._http import MAX_RESPONSE_BYTES
from restwell.auth.oauth import InvalidSignIn, ProviderUnavailable
from restwell.auth.oauth._openid import OpenIdProvider
from restwell.auth.oauth._provider import Client
from scoreboard import Score


def test_the_unmodified_test_provider_signs_a_user_in() -> None:
    with hostile() as (_, sign_in):
        for name in KINDS:
            _, identity = sign_in(name)
            assert (identity.subject, identity.email, identity.name) == ("1", "ada@example.com", "Ada")


@pytest.mark.parametrize("name", KINDS)
def test_a_code_is_exchanged_with_the_secret_verifier_of_its_flow(name: str) -> None:
    """RFC 7636 (PKCE). Breaks when the verifier or the challenge is not sent: a stolen code could be exchanged."""
    with hostile() as (provider, sign_in):
        sent_to, _ = sign_in(name)
        sent = dict(parse_qsl(urlsplit(sent_to).query))
        (exchange,) = [request for request in provider.requests.values() if request.method == "POST"]
        form = dict(parse_qsl(exchange.content.decode()))
    assert (sent["state"], sent["code_challenge"], sent["code_challenge_method"]) == (
        FLOW.state,
        FLOW.challenge,
        "S256",
    )
    assert (form["code"], form["code_verifier"]) == ("code", FLOW.verifier)
    assert sent["redirect_uri"] == form["redirect_uri"] == CALLBACK
    assert FLOW.verifier not in sent_to


DEEP = b"[" * 100_000
ANSWERS: dict[str, tuple[str, str, int, Any]] = {
    **{
        f"{name} {path} {label}": (name, path, *answer)
        for name, paths in {
            "okta": ("/.well-known/openid-configuration", "/jwks", "/token"),
            "github": ("/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"),
            "facebook": ("/oauth/access_token", "/me"),
        }.items()
        for path in paths
        for label, answer in {
            "deep": (200, DEEP),
            "too large": (200, json.dumps(RIGHT.get(path) or tokens()).encode() + b" " * MAX_RESPONSE_BYTES),
            "not UTF-8": (200, b'{"a": "\xff"}'),
            "an integer of 5,000 digits": (200, b'{"id": 1' + b"0" * 5_000 + b"}"),
            "a redirect": (302, {"a": 1}),
            "a redirect without JSON": (302, b""),
            "an error of odd types": (400, {"error": [5]}),
            "null": (200, None),
            "a number": (200, 5),
            "text": (200, "text"),
        }.items()
    },
    **{
        f"okta token {name} {str(value)[:10]!r}": ("okta", "/token", 200, tokens(**{name: value}))
        for name in ("access_token", "id_token")
        for value in ODD
        if (name, value) != ("access_token", "é")
    },
    "okta access token é": (
        "okta", "/token", 200, tokens(access_token="é", id_token=id_token(claims={"email": None}))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_an_invalid_answer_of_a_provider_is_a_sign_in_error(case: str) -> None:
    """Seen to fail: these raised TypeError, RecursionError, UnicodeEncodeError or httpx.InvalidURL, or had no limit:
    "too large" breaks without one, as all else in it is right.
    """
    name, path, status, answer = ANSWERS[case]
    with hostile() as (provider, sign_in):
        provider.answers[path] = status, answer
        with pytest.raises((InvalidSignIn, ProviderUnavailable)):
            sign_in(name)


async def test_a_provider_that_answers_too_slowly_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: every byte arrived within the read timeout, so the sign-in never finished."""
    monkeypatch.setattr("restwell.auth._http.TIMEOUT_SECONDS", 0.1)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server, httpx.AsyncClient() as http:
        client = Client("okta", "shop", "secret", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ProviderUnavailable):
            async with asyncio.timeout(5):
                await OpenIdProvider(client, http).authorization_url(FLOW, CALLBACK)


values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([*ODD, URL, "shop", "1", "Ed25519"]) | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def mutated(right: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(list(right)), values, max_size=3).map(lambda odd: {**right, **odd})


answers = st.fixed_dictionaries(
    {},
    optional={
        "/.well-known/openid-configuration": mutated(METADATA) | values | st.binary(),
        "/jwks": st.lists(mutated(PUBLIC), max_size=3).map(lambda keys: {"keys": keys}) | values | st.binary(),
        "/token": st.builds(
            lambda header, claims: tokens(id_token=id_token(header, claims)),
            st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), values, max_size=2),
            st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nonce", "nbf", "azp", *ADA]), values,
            max_size=3),
        )
        | mutated(tokens())
        | st.binary(),
        "/userinfo": mutated(ADA) | values,
        "/api/v3/user": mutated(RIGHT["/api/v3/user"]) | values,
        "/api/v3/user/emails": st.lists(mutated(RIGHT["/api/v3/user/emails"][0]), max_size=3) | values,
        "/me": mutated(RIGHT["/me"]) | values,
    },
)  # fmt: skip
statuses = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 429, 500])


@pytest.mark.slow
@pytest.mark.scoreboard("T1", "any response of an identity provider", MARK, backend="none")
def test_every_answer_of_a_provider_identifies_a_user_or_is_refused(score: Score) -> None:
    def attempt(given: tuple[str, dict[str, Any], int]) -> str:
        name, provider.answers, status = given[0], {}, given[2]
        provider.answers = {path: (status, answer) for path, answer in given[1].items()}
        try:
            sent_to, identity = sign_in(name)
        except (InvalidSignIn, ProviderUnavailable) as error:
            return error.code
        assert sent_to.isascii()
        assert sent_to.isprintable()
        assert urlsplit(sent_to).scheme == "https"
        assert identity.subject
        return "identified"

    with hostile() as (provider, sign_in):
        fuzz(score, st.tuples(st.sampled_from(list(KINDS)), answers, statuses), attempt)
