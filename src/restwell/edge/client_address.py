"""The client's address, where proxies of ours stand in front: everything after this sees it as if there were none."""

from typing import Final

from restwell.addresses import forwarded_address
from restwell.edge.exchange import Concern, Exchange

HEADER: Final = b"x-forwarded-for"


class ClientAddress(Concern):
    """Believes as many entries of X-Forwarded-For as there are proxies, and no more."""

    def __init__(self, trusted_hops: int) -> None:
        self._hops = trusted_hops

    def before(self, exchange: Exchange) -> None:
        entries = exchange.headers.get(HEADER)
        if entries is None:
            return
        address = forwarded_address(entries.decode("latin-1"), self._hops)
        if address is not None:
            exchange.scope["client"] = (address, 0)
