from typing import Final

from restwell.web import Feature
from shop.payments import queries
from shop.payments.open import gateway
from shop.payments.routes import PaymentController
from shop.payments.service import PaymentService

payments: Final = Feature(
    controllers=[PaymentController],
    services=[PaymentService, gateway],
    queries=[queries],
    tag_descriptions={"Payments": "Events that the payment gateway sends."},
)
