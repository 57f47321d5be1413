"""Whose request it is: the client's address behind proxies, and the network that it stands for."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_PORT: Final = "(?::[0-9]{1,5})?"
_ENTRY: Final = re.compile(
    rf"\[([0-9A-Fa-f:.]{{2,45}})\]{_PORT}|([0-9.]{{7,15}}){_PORT}|([0-9A-Fa-f:.]{{2,45}})"
).fullmatch
"""An address in brackets, of IPv4, or alone. Without a zone (RFC 4007), which means something to one machine only."""


def forwarded_address(entries: str, trusted_hops: int) -> str | None:
    """The client that the outermost of so many proxies of ours has seen, of the entries of X-Forwarded-For.

    Each proxy adds whom it has seen on the right, so what stands further left may be made up. None where there are fewer entries
    than proxies, or none that is an address.
    """
    found = entries.rsplit(",", trusted_hops)
    if len(found) < trusted_hops:
        return None
    entry = _ENTRY(found[-trusted_hops].strip(" \t"))
    address = _parsed(entry[entry.lastindex or 0]) if entry is not None else None
    return str(address) if address is not None else None


def network_of(address: str) -> str:
    """Of an IPv6 address its /64, which is what one connection has; any other address is its own."""
    parsed = _parsed(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
