"""What the shop writes to its buyers."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.letters import letter, money
from shop.orders import queries


class OrderMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def confirm(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Tell the buyer what was ordered; nobody, if the account is gone. Raises MailRefused, MailFailed."""
        primary = self._database.primary
        buyer = await primary.find(queries.buyer, id=user_id)
        if buyer is None or not buyer.active:
            return
        order = await primary.one(queries.of_user_by_id, user_id=user_id, id=order_id)
        lines = await primary.all(queries.lines_of_user, user_id=user_id, order_ids=[order_id])
        table = [
            (f"{line.quantity} x", line.name, money(line.unit_price_cents * line.quantity, order.currency))
            for line in lines
        ]
        table.append(("", "Total", money(order.total_cents, order.currency)))
        await self._mailer.send(
            letter(
                to=buyer.email,
                name=buyer.name,
                subject=f"Your order of {order.created_at:%d %B %Y}",
                paragraphs=["Thank you for your order. This is what we have noted:"],
                table=table,
                key=key,
            )
        )
