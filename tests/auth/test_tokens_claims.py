"""Own claims of access tokens: verification returns exactly them, and they change nothing else."""

import json
import math
import time
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws

from restwell.auth import AccessTokens
from restwell.auth import _tokens as tokens_module
from restwell.auth._signing_keys import from_secrets
from restwell.auth._tokens import RESERVED, Claims
from restwell.errors import Unauthorized

USER, SESSION = uuid4(), uuid4()
(KEY,) = from_secrets(["a secret for tests, which is long enough to be one"])
tokens = AccessTokens([KEY], issuer="tiny", ttl_seconds=900)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.text(min_size=1, max_size=20).filter(lambda name: name not in RESERVED)


def signed(claims: dict[str, Any]) -> str:
    header = {"alg": "HS256", "typ": "at+jwt", "kid": KEY.id}
    return jws.serialize_compact(header, json.dumps(claims).encode(), KEY.key, ["HS256"])


def test_own_claims_are_returned_and_nothing_else() -> None:
    """Breaks when ``jti`` or another registered claim is among them."""
    own = {"tenant": 7, "plan": {"name": "gold", "seats": [1, 2]}, "extra": "text", "note": None}
    claims = tokens.verify(tokens.issue(USER, SESSION, claims=own))
    assert claims.extra == own
    assert (claims.sub, claims.sid, claims.scope) == (USER, SESSION, "")
    for token in (tokens.issue(USER, SESSION), tokens.issue(USER, SESSION, claims={})):
        assert tokens.verify(token).extra == {}
    assert tokens.verify(tokens.issue_to_machine(USER, ["read"])).extra == {}


@pytest.mark.slow
@given(st.dictionaries(names, values, max_size=4))
def test_every_issued_claim_is_verified_as_it_was_given(own: dict[str, Any]) -> None:
    try:
        token = tokens.issue(USER, SESSION, claims=own)
    except ValueError as error:
        assert "characters; verification accepts" in str(error) or "surrogates" in str(error)  # noqa: PT017
    else:
        assert tokens.verify(token).extra == own


@pytest.mark.parametrize(
    "name", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "scope", "client_id", "azp", "act", "cnf", ""]
)
def test_a_reserved_name_is_refused(name: str) -> None:
    """Breaks when own claims are not checked: ``scope`` would make a user a machine client, ``exp`` live for ever."""
    with pytest.raises(ValueError, match="may not be named"):
        tokens.issue(USER, SESSION, claims={"tenant": 7, name: "x"})


def test_every_claim_of_the_kit_is_reserved() -> None:
    """Breaks when a claim is added to a token and not to the reserved names."""
    issued = [tokens.issue(USER, SESSION), tokens.issue_to_machine(USER, ["read"])]
    claims = {name for token in issued for name in json.loads(jws.extract_compact(token.encode()).payload)}
    assert claims | {"nbf"} <= RESERVED


circle: list[Any] = []
circle.append(circle)
ODD: dict[str, Any] = {
    "a tuple": {"a": (1, 2)},
    "bytes": {"a": b"b"},
    "an id": {"a": uuid4()},
    "a set": {"a": {1}},
    "NaN": {"a": math.nan},
    "infinity": {"a": math.inf},
    "a lone surrogate": {"a": "\ud800"},
    "a name that is a number": {1: "a"},
    "an inner name that is a number": {"a": {1: "a"}},
    "a circle": {"a": circle},
}


@pytest.mark.parametrize("case", ODD)
def test_a_value_that_is_not_json_is_refused(case: str) -> None:
    """Breaks without the comparison: a tuple came back as a list, and the number 1 as the text "1"."""
    with pytest.raises(ValueError, match="must be JSON"):
        tokens.issue(USER, SESSION, claims=ODD[case])


def test_claims_that_make_the_token_too_long_are_refused() -> None:
    """Breaks without the limit: the token would be issued, and each request with it rejected."""
    with pytest.raises(ValueError, match=r"own claims make a token of [0-9,]+ characters"):
        tokens.issue(USER, SESSION, claims={"a": "x" * 2_000})


def test_a_claim_with_an_odd_name_or_value_in_a_signed_token_is_only_an_own_claim() -> None:
    """A newer release may add claims. Breaks when a claim can reach a field that is not its own."""
    now = int(time.time())
    valid = {"sub": str(USER), "client_id": "tiny", "iss": "tiny", "aud": "tiny", "sid": str(SESSION)}
    valid |= {"iat": now, "exp": now + 60}  # type: ignore[dict-item]
    assert tokens.verify(signed({**valid, "extra": 5, "roles": ["a"]})).extra == {"extra": 5, "roles": ["a"]}
    for odd in ({"own": 1, "exp": "never"}, {"own": 1, "sid": 7}):
        with pytest.raises(Unauthorized):
            tokens.verify(signed({**valid, **odd}))


def test_a_token_without_own_claims_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when each token is decoded twice for claims that it does not have."""
    decoded: list[type] = []

    class Decoding:
        encode = staticmethod(msgspec.json.encode)

        @staticmethod
        def decode(payload: bytes, *, type: type) -> Any:  # noqa: A002  # as msgspec names it
            decoded.append(type)
            return msgspec.json.decode(payload, type=type)

    plain, own = tokens.issue(USER, SESSION), tokens.issue(USER, SESSION, claims={"tenant": 7})
    monkeypatch.setattr(tokens_module, "json", Decoding)
    tokens.verify(plain)
    assert decoded == [Claims]
    tokens.verify(own)
    assert len(decoded) == 3
