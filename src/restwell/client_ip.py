"""The IP address of a client behind trusted proxies, and its network."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

__all__ = ["network_of"]

_PORT: Final = "(?::[0-9]{1,5})?"
_ENTRY: Final = re.compile(
    rf"\[([0-9A-Fa-f:.]{{2,45}})\]{_PORT}|([0-9.]{{7,15}}){_PORT}|([0-9A-Fa-f:.]{{2,45}})"
).fullmatch
"""An IPv6 address in brackets, an IPv4 address, each with an optional port, or a bare IPv6 address.

A zone (RFC 4007) is rejected: it is meaningful on one machine only.
"""


def forwarded_address(entries: str, trusted_hops: int) -> str | None:
    """The client address that the outermost of ``trusted_hops`` proxies has appended to X-Forwarded-For.

    Each proxy appends the address of its peer, so entries further to the left may be forged. None if there are fewer
    entries than proxies, or if the entry is not an address.
    """
    found = entries.rsplit(",", trusted_hops)
    if len(found) < trusted_hops:
        return None
    entry = _ENTRY(found[-trusted_hops].strip(" \t"))
    address = _parse(entry[entry.lastindex or 0]) if entry is not None else None
    return str(address) if address is not None else None


def network_of(address: str) -> str:
    """The /64 of an IPv6 address, the usual size of one connection; any other address unchanged."""
    parsed = _parse(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
