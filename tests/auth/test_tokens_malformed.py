"""Malformed tokens: only a valid token is accepted, and any exception of joserfc becomes Unauthorized."""

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from fuzzing import MARK, fuzz
from restwell.auth import AccessTokens
from restwell.auth._signing_keys import from_secrets
from restwell.errors import Unauthorized
from scoreboard import Score

ISSUER = "https://shop.example"
USER, SESSION = UUID(int=1), UUID(int=2)
(KEY,) = from_secrets(["a secret for tests, which is long enough to be one"])
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "at+jwt", "kid": KEY.id}
CLAIMS: dict[str, Any] = {
    "sub": str(USER),
    "client_id": ISSUER,
    "iss": ISSUER,
    "aud": ISSUER,
    "sid": str(SESSION),
    "iat": 1_700_000_000,
    "exp": 4_000_000_000,
}
tokens = AccessTokens([KEY], issuer=ISSUER, ttl_seconds=900)


def base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def signed(header: object = HEADER, claims: object = CLAIMS) -> str:
    """A token with a valid signature. Its parts are JSON values or bytes."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    said = b".".join(map(base64, parts))
    secret = KEY.key.get_op_key("sign")
    assert isinstance(secret, bytes)
    return (said + b"." + base64(hmac.digest(secret, said, "sha256"))).decode()


ODD: list[Any] = [
    None, True, 0, 5, -1, 1.5, float("nan"), float("inf"), 10**4_000, "", "x", "\x00", "\ud800", "é", [], [5], [None],
    ["exp"],
    ["b64"], [["b64"]], {}, {"a": {}}, "HS256 ", "a" * 65_536,
]  # fmt: skip
HEADERS = {f"{name} {str(value)[:20]!r}": {**HEADER, name: value} for name in ("alg", "typ", "kid") for value in ODD}
HEADERS |= {f"crit {str(value)[:20]!r}": {**HEADER, "crit": value} for value in [*ODD, ["b64", "b64"], ["kid"]]}
HEADERS |= {f"b64 false, crit {crit}": {**HEADER, "b64": False, "crit": crit} for crit in (["b64"], 5)}
SAYINGS: dict[str, Any] = {
    f"{name} {str(value)[:20]!r}": {**CLAIMS, name: value}
    for name in ("sub", "iss", "aud", "exp", "sid", "client_id", "nbf", "iat")
    for value in ODD
    if not (name == "client_id" and value in ["", "x", "\x00", "é", "HS256 "])  # any of them: the signature is valid
    and not (name == "sid" and value is None)
    and not (name in {"nbf", "iat"} and value in [0, 5, -1])
}
SAYINGS |= {
    "iat as text": {**CLAIMS, "iat": "1700000000"},
    "iat 1e400": json.dumps(CLAIMS).replace("1700000000", "1e400").encode(),
    "exp 1e400": json.dumps(CLAIMS).replace("4000000000", "1e400").encode(),
    "exp of 5,000 digits": json.dumps(CLAIMS).replace("4000000000", "9" * 5_000).encode(),
    "exp of yesterday, after another": json.dumps(CLAIMS)[:-1].encode() + b', "exp": 1700000000}',
    "scope a list": {**CLAIMS, "scope": ["admin"]},
    "no object": [CLAIMS],
    "a number": 5,
    "null": None,
    "not JSON": b"x",
    "no UTF-8": b'{"sub": "\xff"}',
    "deep": b"[" * 1_200,
}


def is_unauthorized(token: str) -> bool:
    try:
        tokens.verify(token)
    except Unauthorized:
        return True
    return False


def test_a_token_with_a_malformed_header_is_unauthorized() -> None:
    """`"crit": 5` was a TypeError, a 500."""
    assert [case for case, header in HEADERS.items() if not is_unauthorized(signed(header))] == []


def test_a_token_with_malformed_claims_is_unauthorized() -> None:
    """Breaks when a claim is used before its type is checked, or when issuer or audience are not compared."""
    assert [case for case, claims in SAYINGS.items() if not is_unauthorized(signed(claims=claims))] == []


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "....", "a" * 65_536, "." * 2_048, "é.é.é", "\x00.\x00.\x00", "a.b.c\n", " ", "\ud800"],
)
def test_a_text_that_is_not_a_token_is_unauthorized(token: str) -> None:
    """Breaks when an exception of joserfc is not caught."""
    with pytest.raises(Unauthorized):
        tokens.verify(token)
    with pytest.raises(Unauthorized):
        tokens.verify(f"{signed()}{token or '='}")


def test_the_unmodified_test_token_is_valid() -> None:
    assert tokens.verify(signed()).sub == USER


json_values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(ODD) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
header_names = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "cty", "enc", "zip", "p2c"])


@pytest.mark.scoreboard("T1", "any access token", MARK, backend="none")
def test_every_token_is_validly_signed_or_unauthorized(score: Score) -> None:
    headers = st.dictionaries(header_names | st.text(), json_values, max_size=4).map(lambda odd: {**HEADER, **odd})
    claims = st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "scope", "jti"]), json_values, max_size=3).map(
        lambda odd: {**CLAIMS, **odd}
    )
    parts = st.tuples(headers | st.binary() | st.just(HEADER), claims | st.binary() | st.just(CLAIMS))
    texts = st.text() | st.lists(st.binary().map(base64), max_size=6).map(lambda given: b".".join(given).decode())

    def verify(given: tuple[object, str]) -> str:
        header, token = given
        try:
            claims = tokens.verify(token)
        except Unauthorized:
            return "unauthorized"
        assert (claims.iss, claims.aud) == (ISSUER, ISSUER)
        assert isinstance(header, dict)
        assert {name: header.get(name) for name in HEADER} == HEADER
        assert "crit" not in header
        return "accepted"

    # Signing megabytes takes longer than refusing them, so it is not part of what is measured.
    fuzz(score, parts.map(lambda given: (given[0], signed(*given))) | texts.map(lambda text: (None, text)), verify)
