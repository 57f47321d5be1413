"""Metadata and peers of a call as header fields and addresses."""

import pytest

from restwell.grpc._calls import _fields, client_address


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:127.0.0.1:5123", ("127.0.0.1", 5123)),
        ("ipv6:%5B::1%5D:5123", ("::1", 5123)),
        ("ipv6:[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("unix:/run/app.sock", None),
        ("unix:", None),
    ],
)
def test_peers_are_addresses(peer: str, client: tuple[str, int] | None) -> None:
    """Fails if all clients of IPv6 share one rate limit, or if a socket of Unix fails the call."""
    assert client_address(peer) == client


def test_two_credentials_are_none_and_cookies_are_left_out() -> None:
    """Fails if the last of two credentials counts: a proxy may have checked the first."""
    sent = [("authorization", "Bearer a"), ("authorization", "Bearer b"), ("cookie", "x=y"), ("trace-bin", b"\x00")]
    assert _fields([*sent, ("if-match", '"3"')]) == [(b"authorization", b"Bearer a, Bearer b"), (b"if-match", b'"3"')]
