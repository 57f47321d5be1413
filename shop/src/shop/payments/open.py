from restwell import Restwell
from shop.payments.fake_gateway import FakeGateway
from shop.payments.gateway import Gateway
from shop.payments.stripe import StripeGateway
from shop.settings import ShopSettings


def gateway(kit: Restwell, settings: ShopSettings) -> Gateway:
    """The configured gateway, which is closed with the application."""
    return kit.close_on_shutdown(open_gateway(settings.payments.url.get_secret_value()))


def open_gateway(url: str) -> Gateway:
    """Create the gateway of a URL: ``fake:`` or Stripe. It opens no connection before its first use."""
    return FakeGateway(url) if url.startswith("fake:") else StripeGateway(url)
