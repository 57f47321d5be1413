"""Which gateway a URL means."""

from shop.payments.gateway import Gateway
from shop.payments.ledger import LocalLedger
from shop.payments.stripe import StripeGateway


def open_gateway(url: str) -> Gateway:
    """The ledger, or Stripe. Nothing connects before it is asked for something."""
    return LocalLedger(url) if url.startswith("ledger:") else StripeGateway(url)
