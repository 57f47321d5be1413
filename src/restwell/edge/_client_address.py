"""The client's address behind trusted proxies. It replaces ``client`` in the ASGI scope."""

from functools import lru_cache
from typing import Final

from restwell.client_ip import forwarded_address
from restwell.edge._context import Hook, RequestContext

FORWARDED_FOR: Final = b"x-forwarded-for"
MAX_REMEMBERED_BYTES: Final = 100
"""A longer X-Forwarded-For is parsed each time; parsing it costs microseconds."""

_remembered: Final = lru_cache(4_096)(forwarded_address)


class ClientAddress(Hook):
    """Trusts as many entries of X-Forwarded-For as there are trusted proxies."""

    def __init__(self, trusted_hops: int) -> None:
        self._hops = trusted_hops

    def admit(self, context: RequestContext) -> None:
        entries = context.headers.get(FORWARDED_FOR)
        if entries is None:
            return
        read = _remembered if len(entries) <= MAX_REMEMBERED_BYTES else forwarded_address
        address = read(entries.decode("latin-1"), self._hops)
        if address is not None:
            context.scope["client"] = (address, 0)
