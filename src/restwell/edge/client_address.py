"""The client's address, where proxies of ours stand in front: everything after this sees it as if there were none."""

from typing import Final

from restwell.client_ip import forwarded_address
from restwell.edge.context import Hook, RequestContext

HEADER: Final = b"x-forwarded-for"


class ClientAddress(Hook):
    """Believes as many entries of X-Forwarded-For as there are proxies, and no more."""

    def __init__(self, trusted_hops: int) -> None:
        self._hops = trusted_hops

    def before(self, context: RequestContext) -> None:
        entries = context.headers.get(HEADER)
        if entries is None:
            return
        address = forwarded_address(entries.decode("latin-1"), self._hops)
        if address is not None:
            context.scope["client"] = (address, 0)
