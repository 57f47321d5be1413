"""What the shop asks of whoever moves its money."""

from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What has become of a payment, for good: each says so again whenever it is asked."""

    PAID = "paid"
    DECLINED = "declined"
    CANCELLED = "cancelled"


class GatewayUnavailable(Exception):
    """No answer, or none that says what has happened: it may have been done or not. Ask again."""


class GatewayRejected(Exception):
    """The gateway does not take what it was asked: wrong credentials, or a request that it finds faulty. Asking again is no use."""


class Gateway(Protocol):
    """A payment is prepared first, which moves nothing, and confirmed once its id is stored. So whoever has lost an answer asks for that
    one, and can never begin a second. All of it may be repeated; each raises GatewayUnavailable and GatewayRejected.
    """

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        """The id of a payment that is ready. The same key gives the same payment."""

    async def confirm(self, payment_id: str) -> Outcome:
        """Move the money, unless the payment has been cancelled or declined."""

    async def cancel(self, payment_id: str) -> Outcome:
        """See to it that it is never paid; PAID if it is too late for that."""

    async def refund(self, payment_id: str) -> None:
        """Give all of a paid payment back, once."""

    async def close(self) -> None: ...
