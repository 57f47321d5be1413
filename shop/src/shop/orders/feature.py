from typing import Final

from restwell.database import Database
from restwell.web import Feature
from shop.orders import queries
from shop.orders.jobs import send_confirmation, send_expired, send_payment_failed
from shop.orders.mail import OrderMail
from shop.orders.routes import OrderController
from shop.orders.service import OrderService
from shop.orders.settlement import Settlement, settle_order, settle_overdue_orders
from shop.payments.events import PaymentEvents
from shop.settings import ShopSettings


def payment_events(database: Database, settings: ShopSettings, settlement: Settlement) -> PaymentEvents:
    """The webhook of the payment gateway settles orders."""
    secret = settings.payments.webhook_secret
    return PaymentEvents(database, secret.get_secret_value() if secret is not None else None, settlement.enqueue)


orders: Final = Feature(
    controllers=[OrderController],
    services=[OrderService, Settlement, OrderMail, payment_events],
    jobs=[send_confirmation, send_expired, send_payment_failed, settle_order, settle_overdue_orders],
    queries=[queries],
    tag_descriptions={"Orders": "Orders of products, and their payment."},
)
