"""What the shop writes to its buyers."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import format_money, render_email
from shop.orders import queries


class OrderMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def confirm(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Tell the buyer what was bought; nobody, if the account is gone. Raises MailRefused, MailFailed."""
        thanks = "Thank you for your order, which is paid. This is what we have noted:"
        await self._write(user_id, order_id, "Your order of {:%d %B %Y}", thanks, key)

    async def say_failed(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Tell the buyer that the payment was declined; as ``confirm``."""
        declined = "Your payment was declined, so this order will not be sent. You may order again:"
        await self._write(user_id, order_id, "Your payment for the order of {:%d %B %Y}", declined, key)

    async def _write(self, user_id: UUID, order_id: UUID, subject: str, paragraph: str, key: str) -> None:
        primary = self._database.primary
        buyer = await primary.find(queries.buyer, id=user_id)
        if buyer is None or not buyer.active:
            return
        order = await primary.one(queries.of_user_by_id, user_id=user_id, id=order_id)
        lines = await primary.all(queries.lines_of_user, user_id=user_id, order_ids=[order_id])
        table = [
            (f"{line.quantity} x", line.name, format_money(line.unit_price_cents * line.quantity, order.currency))
            for line in lines
        ]
        table.append(("", "Total", format_money(order.total_cents, order.currency)))
        await self._mailer.send(
            render_email(
                to=buyer.email,
                subject=subject.format(order.created_at),
                paragraphs=[paragraph],
                table=table,
                key=key,
            )
        )
