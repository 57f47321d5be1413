"""Access tokens: algorithms, expiry, and forged tokens."""

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from forged_tokens import changed, forged_tokens, part
from restwell.auth import AccessTokens
from restwell.auth import _tokens as tokens
from restwell.auth._signing_keys import SigningKey, from_secrets
from restwell.errors import Unauthorized
from scoreboard import Score

SECRET: Final = "a secret for tests, which is long enough to be one"
USER, SESSION = uuid4(), uuid4()
ISSUER: Final = "tiny"


@pytest.fixture(params=["HS256", "ES256", "Ed25519"])
def keys(request: pytest.FixtureRequest) -> list[SigningKey]:
    if request.param == "HS256":
        return from_secrets([SECRET])
    key = ECKey.generate_key("P-256") if request.param == "ES256" else OKPKey.generate_key("Ed25519")
    return [SigningKey("key", request.param, key)]


@pytest.fixture
def access_tokens(keys: list[SigningKey]) -> AccessTokens:
    return of(keys)


def of(keys: list[SigningKey]) -> AccessTokens:
    return AccessTokens(keys, issuer=ISSUER, ttl_seconds=900)


@pytest.mark.parametrize(
    ("issue", "error", "message"),
    [
        (lambda tokens: tokens.issue(7, 3), TypeError, "needs UUIDs, not 3"),
        (lambda tokens: tokens.issue(str(USER), SESSION), TypeError, "needs UUIDs"),
        (lambda tokens: tokens.issue(USER, None), TypeError, "needs UUIDs, not None"),
        (lambda tokens: tokens.issue_to_machine(7, ["read"]), TypeError, "needs UUIDs, not 7"),
        (lambda tokens: tokens.issue_to_machine(USER, "read"), TypeError, "not a string"),
        (lambda tokens: tokens.issue_to_machine(USER, []), ValueError, "needs a scope"),
        (lambda tokens: tokens.issue_to_machine(USER, [""]), ValueError, "invalid scopes: "),
        (lambda tokens: tokens.issue_to_machine(USER, ["read write"]), ValueError, "invalid scopes: "),
        (lambda tokens: tokens.issue_to_machine(USER, ["read", 'a"b', "é"]), ValueError, "invalid scopes: "),
        (lambda tokens: tokens.issue_to_machine(USER, ["read", 7]), TypeError, "int"),
        (lambda tokens: tokens.issue_to_machine(USER, [f"scope:{n}" for n in range(300)]), ValueError, "300 scopes"),
    ],
)
def test_a_token_that_verify_would_refuse_is_not_issued(
    access_tokens: AccessTokens, issue: Callable[[Any], str], error: type[Exception], message: str
) -> None:
    """Seen to fail: these tokens were issued and then rejected by ``verify``, or had other scopes."""
    with pytest.raises(error, match=message):
        issue(access_tokens)


@pytest.mark.slow
@given(st.uuids(), st.sets(st.from_regex(r"[!#-\[\]-~]{1,20}", fullmatch=True), min_size=1, max_size=20))
def test_every_issued_token_is_accepted(subject: UUID, scopes: set[str]) -> None:
    tokens = of(from_secrets([SECRET]))
    assert tokens.verify(tokens.issue(subject, subject)).sid == subject
    assert set(tokens.verify(tokens.issue_to_machine(subject, scopes)).scope.split()) == scopes


@pytest.mark.parametrize(("issuer", "ttl_seconds"), [("", 900), (ISSUER, 0), (ISSUER, -1)])
def test_an_issuer_or_lifetime_that_makes_no_valid_token_is_refused(issuer: str, ttl_seconds: int) -> None:
    """Seen to fail: such an issuer was accepted, and every token that it issued was rejected."""
    with pytest.raises(ValueError, match="access tokens need"):
        AccessTokens(from_secrets([SECRET]), issuer=issuer, ttl_seconds=ttl_seconds)


def test_a_token_holds_its_user_session_and_expiry(access_tokens: AccessTokens, keys: list[SigningKey]) -> None:
    token = access_tokens.issue(USER, SESSION)
    header = msgspec.json.decode(part(token, 0))
    assert header == {"alg": keys[0].algorithm, "typ": "at+jwt", "kid": keys[0].id}
    claims = access_tokens.verify(token)
    assert (claims.sub, claims.sid, claims.exp - claims.iat) == (USER, SESSION, 900)
    assert access_tokens.verify(token) == claims


@pytest.mark.scoreboard("A8", "JWT attacks", "100% rejected", backend="none")
def test_a_forged_or_foreign_token_is_refused(
    access_tokens: AccessTokens, keys: list[SigningKey], score: Score
) -> None:
    """Breaks without a check of algorithm, type, issuer, audience or times, or with a key from the token."""
    good = access_tokens.issue(USER, SESSION)
    attacks = forged_tokens(keys[0], good)
    assert access_tokens.verify(changed(keys[0], good)).sub == USER
    accepted = [name for name, token in attacks.items() if _accepts(access_tokens, token)]
    score.note(f"{len(attacks) - len(accepted)} of {len(attacks)} rejected with {keys[0].algorithm}")
    assert accepted == []


def test_an_overlong_token_is_refused_without_decoding_it(
    access_tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jws, "deserialize_compact", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(Unauthorized, match="too long"):
        access_tokens.verify("a" * 2_049)


def test_a_token_that_was_verified_is_not_verified_again_and_still_expires(
    access_tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the expiry of a cached token is not checked."""
    token = access_tokens.issue(USER, SESSION)
    claims = access_tokens.verify(token)
    monkeypatch.setattr(jws, "deserialize_compact", lambda *_, **__: pytest.fail("it was verified twice"))
    assert access_tokens.verify(token) is claims
    monkeypatch.setattr(time, "time", lambda: claims.exp)
    assert not _accepts(access_tokens, token)


def test_the_cache_of_verified_tokens_is_bounded_and_holds_no_refused_token(
    access_tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CACHE_SIZE", 3)
    issued = [access_tokens.issue(uuid4(), SESSION) for _ in range(5)]
    for token in issued:
        access_tokens.verify(token)
    assert not _accepts(access_tokens, f"{issued[0]}x")
    assert list(access_tokens._verified) == issued[-3:]


def _accepts(access_tokens: AccessTokens, token: str) -> bool:
    try:
        access_tokens.verify(token)
    except Unauthorized:
        return False
    return True
