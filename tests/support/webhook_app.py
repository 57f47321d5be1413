"""An application that describes webhooks, which the tests of documents, of the contract gate and of generators read."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell import App, Restwell
from restwell.fields import Instant
from restwell.settings import Settings
from restwell.web import Controller, Feature, Version, Webhook, get


class State(StrEnum):
    PAID = "paid"
    CANCELLED = "cancelled"


class Line(Struct, frozen=True):
    product_id: UUID
    quantity: Annotated[int, Meta(ge=1, examples=[2])]


class Order(Struct, frozen=True):
    id: UUID
    state: State
    lines: list[Line]


class OrderChange(Struct, frozen=True):
    """A change of an order."""

    event_id: UUID
    at: Instant
    order: Order
    note: Annotated[str, Meta(examples=["paid by card"])] | None = None


class ReportMade(Struct, frozen=True):
    report_id: UUID


class Orders(Controller):
    path = "/orders"
    tags = ["Orders"]

    @get()
    async def list_orders(self) -> list[Order]:
        """List orders.

        The newest order is first.
        """
        return []


SIGNATURE: Final = {"Webhook-Signature": "The HMAC-SHA256 of the body, in hexadecimal."}
PAID: Final = Webhook("order.paid", OrderChange, "An order was paid.\n\nSent once\nfor each payment.", SIGNATURE)
REPORT: Final = Webhook("report.made", ReportMade, "A report is ready.")


def create_app(settings: Settings) -> App:
    orders = Feature(controllers=[Orders], webhooks=[PAID], tag_descriptions={"Orders": "What customers ordered."})
    return Restwell(settings, name="webhooks").app(
        [Feature(webhooks=[REPORT]), Version("/v1", [Orders]), Version("/v2", [orders])],
        contact="api@app.example",
        license_id="MIT",
    )
