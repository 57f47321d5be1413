"""Decoding of signed tokens and key sets: whatever fails is an ``InvalidToken``."""

from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from restwell.auth._jose import MAX_KEYS, InvalidToken, decode, import_key_set

KEY = OctKey.generate_key(256)


def signed(payload: bytes = b'{"a": 1}', **header: Any) -> str:
    return jws.serialize_compact({"alg": "HS256", **header}, payload, KEY)


def test_a_token_is_its_header_and_its_typed_claims() -> None:
    assert decode(signed(kid="1"), KEY, ["HS256"], dict[str, int]) == ({"alg": "HS256", "kid": "1"}, {"a": 1})


def test_each_failure_is_an_invalid_token() -> None:
    """Breaks when only the errors of the library are caught: an odd token would be a 500."""

    def no_key(_: object) -> OctKey:
        raise KeyError("kid")

    for token, key, algorithms, kind in (
        (signed(), OctKey.generate_key(256), ["HS256"], dict[str, int]),
        (signed(), KEY, ["HS512"], dict[str, int]),
        (signed(), KEY, ["HS256"], dict[str, str]),
        (signed(b""), KEY, ["HS256"], dict[str, int]),
        (signed(), no_key, ["HS256"], dict[str, int]),
        ("a.b", KEY, ["HS256"], dict[str, int]),
    ):
        with pytest.raises(InvalidToken):
            decode(token, key, algorithms, kind)


def test_a_critical_header_parameter_is_refused() -> None:
    """RFC 7515 4.1.11. Breaks when a parameter that the library knows is accepted without being understood here."""
    with pytest.raises(InvalidToken, match="critical"):
        decode(signed(b64=True, crit=["b64"]), KEY, ["HS256"], dict[str, int])


def test_a_key_set_has_its_supported_keys_only() -> None:
    """RFC 7517 5. Breaks when one unsupported key invalidates the set."""
    key: Any = ECKey.generate_key("P-256").as_dict(private=False)
    assert len(import_key_set({"keys": [5, {"kty": "AKP"}, key]}).keys) == 1
    documents: list[Any] = [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [5]}, {"keys": [key] * (MAX_KEYS + 1)}]
    for document in documents:
        with pytest.raises(InvalidToken):
            import_key_set(document)
