"""Signed tokens: what no key and scope of ours has signed is refused."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restwell import _base64url as base64url
from restwell._signing import SignedTokens

tokens = SignedTokens(b"k" * 32)


@given(st.text(), st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1), st.uuids()))
def test_a_token_decodes_to_its_value_in_its_scope(scope: str, value: tuple[str, int, UUID]) -> None:
    assert tokens.decode(scope, tokens.encode(scope, value), tuple[str, int, UUID]) == value


def test_another_key_another_scope_and_any_other_byte_are_refused() -> None:
    """Breaks when the key, the scope or the whole value is not part of the MAC, and when the MAC is not compared."""
    token = tokens.encode("list", ("a", 1))
    raw = base64url.decode(token)
    changed = [
        base64url.encode(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        for position in range(len(raw))
    ]
    for bad in (*changed, token[:-1], "", "A"):
        assert _is_refused(tokens, "list", bad)
    for scope in ("lost", "lists", ""):
        assert _is_refused(tokens, scope, token)
    assert _is_refused(SignedTokens(b"x" * 32), "list", token)


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "-{}", "{}A", "{}é", "{}\ud800"])
def test_a_token_has_one_spelling(change: str) -> None:
    assert _is_refused(tokens, "list", change.format(tokens.encode("list", (1,))))


def test_the_end_of_a_scope_is_not_read_as_the_beginning_of_a_value() -> None:
    """Breaks when only a zero byte separates them."""
    beginning = "\u0100"  # in MessagePack, the beginning of 128 bytes
    raw = base64url.decode(tokens.encode(f"list\0{beginning}", "a" * 125))
    moved = base64url.encode(raw[:16] + beginning.encode() + b"\0" + raw[16:])
    assert _is_refused(tokens, "list", moved, bytes)


@pytest.mark.parametrize("kind", [tuple[str], tuple[int, str], tuple[UUID, int]])
def test_a_signed_value_of_another_type_is_refused(kind: Any) -> None:
    """Breaks when the value is decoded without its type: a token of an older release is then a 500 later."""
    assert _is_refused(tokens, "list", tokens.encode("list", ("a", 1)), kind)


def _is_refused(signed: SignedTokens, scope: str, token: str, kind: Any = tuple[str, int]) -> bool:
    try:
        signed.decode(scope, token, kind)
    except ValueError:
        return True
    return False
