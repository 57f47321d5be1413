"""Refresh tokens: unpredictable, and rotated to a successor that only the server can compute."""

from restwell.auth import RefreshTokens


def test_every_session_gets_another_token_of_256_bits() -> None:
    tokens = RefreshTokens(b"key")
    issued = {tokens.issue() for _ in range(100)}
    assert len(issued) == 100
    assert {len(token) for token in issued} == {len("rt_") + 43}
    assert all(token.startswith("rt_") for token in issued), "secret scanners find it by its prefix"


def test_a_repeated_refresh_gets_the_same_successor_and_no_one_else_can_compute_it() -> None:
    """Breaks without the key: a reader of one token would know all later ones."""
    token = RefreshTokens(b"key").issue()
    successor = RefreshTokens(b"key").successor(token)
    assert RefreshTokens(b"key").successor(token) == successor
    assert RefreshTokens(b"other key").successor(token) != successor
    assert len({token, successor, RefreshTokens(b"key").successor(successor)}) == 3
    assert len(successor) == len(token)


def test_only_a_hash_of_a_token_is_stored() -> None:
    tokens = RefreshTokens(b"key")
    token = tokens.issue()
    assert tokens.digest(token) == RefreshTokens(b"other key").digest(token), "a new key ends no session"
    assert token.encode() not in tokens.digest(token)
    assert tokens.digest(token) != tokens.digest(tokens.successor(token))
