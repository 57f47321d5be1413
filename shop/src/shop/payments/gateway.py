"""The interface of payment gateways."""

from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """The final state of a payment."""

    PAID = "paid"
    DECLINED = "declined"
    CANCELLED = "cancelled"


class GatewayUnavailable(Exception):
    """The gateway did not return a definite result; the operation may have been executed. Retry."""


class GatewayRejected(Exception):
    """The gateway rejected the request, for example for invalid credentials. Do not retry."""


class Gateway(Protocol):
    """A payment is prepared, its id is stored, and then it is confirmed.

    A lost response never leads to a second payment. Every method is idempotent, and raises
    GatewayUnavailable and GatewayRejected.
    """

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        """Create a payment without charging it. Returns its id: the same one for the same key."""

    async def confirm(self, payment_id: str) -> Outcome:
        """Charge the payment, unless it is cancelled or declined."""

    async def cancel(self, payment_id: str) -> Outcome:
        """Cancel the payment. Returns PAID if it is already charged."""

    async def refund(self, payment_id: str) -> None:
        """Refund a charged payment in full."""

    async def close(self) -> None: ...
