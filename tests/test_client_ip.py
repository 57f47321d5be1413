"""The IP address of a client behind proxies, and its network."""

import pytest

from restwell.client_ip import forwarded_address, network_of


@pytest.mark.parametrize(
    ("entries", "hops", "address"),
    [
        ("203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6,203.0.113.7 , 10.0.0.1", 2, "203.0.113.7"),
        ("203.0.113.7:4711", 1, "203.0.113.7"),
        ("[2001:db8::7]:4711", 1, "2001:db8::7"),
        ("2001:DB8:0::7", 1, "2001:db8::7"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("203.0.113.7", 2, None),
        ("203.0.113.7, unknown", 1, None),
        ("203.0.113.7, ", 1, None),
        ("", 1, None),
        ("'; DROP TABLE users", 1, None),
        ("fe80::1%eth0", 1, None),
        (f"fe80::1%{'x' * 5_000}", 1, None),
        ("[fe80::1%eth0]:4711", 1, None),
        ("[2001:db8::7]x", 1, None),
        ("[2001:db8::7", 1, None),
        ("[2001:db8::7]:x", 1, None),
        ("203.0.113.7:x", 1, None),
        ("203.0.113.7:", 1, None),
        ("203.0.113.07", 1, None),
        ("\uff12\uff10\uff13.0.113.7", 1, None),
        ("_hidden", 1, None),
        ("for=203.0.113.7", 1, None),
        ("," * 30_000 + "203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6,\t 203.0.113.7 \t", 1, "203.0.113.7"),
        ("6.6.6.6,\u00a0203.0.113.7", 1, None),
        ("203.0.113.7\x0b", 1, None),
    ],
)
def test_the_client_address_is_the_entry_of_the_outermost_proxy(entries: str, hops: int, address: str | None) -> None:
    """Seen to fail: any text after % became part of the address, and any text after a bracket or colon was ignored.

    Breaks with ``strip()``: only spaces and tabs may surround an entry.
    """
    assert forwarded_address(entries, hops) == address


def test_an_ipv6_client_is_identified_by_its_64_network() -> None:
    assert network_of("2001:db8::7") == network_of("2001:db8::ffff:1:2:3") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::7") == "2001:db8:0:1::/64"
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("a name") == "a name"
