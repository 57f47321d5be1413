"""Emails about orders."""

from uuid import UUID

from restwell.accounts import UserService
from restwell.database import Database
from restwell.mail import Mailer, render_mail
from shop.emails import SIGNATURE
from shop.money import format_money
from shop.orders import queries


class OrderMail:
    def __init__(self, database: Database, mailer: Mailer, users: UserService) -> None:
        self._database = database
        self._users = users
        self._mailer = mailer

    async def confirm(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Send the order confirmation. Does nothing for a deleted account. Raises MailRefused, MailFailed."""
        thanks = "Thank you for your order. Your payment was successful. You ordered:"
        await self._write(user_id, order_id, "Your order of {:%d %B %Y}", thanks, key)

    async def payment_failed(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Send the notice of a declined payment. See ``confirm``."""
        declined = "Your payment was declined, so the order was not completed. You can place it again:"
        await self._write(user_id, order_id, "Your payment for the order of {:%d %B %Y}", declined, key)

    async def expired(self, user_id: UUID, order_id: UUID, key: str) -> None:
        """Send the notice that the stock is not reserved any more. See ``confirm``."""
        cancelled = "We could not reserve what you ordered, so the order was cancelled and you do not pay for it:"
        await self._write(user_id, order_id, "Your order of {:%d %B %Y} was cancelled", cancelled, key)

    async def _write(self, user_id: UUID, order_id: UUID, subject: str, paragraph: str, key: str) -> None:
        primary = self._database.primary
        recipient = await self._users.find_active(user_id)
        if recipient is None:
            return
        order = await primary.one(queries.of_user_by_id, user_id=user_id, id=order_id)
        lines = await primary.all(queries.lines_of_user, user_id=user_id, order_ids=[order_id])
        table = [
            (f"{line.quantity} x", line.name, format_money(line.unit_price_cents * line.quantity, order.currency))
            for line in lines
        ]
        table.append(("", "Total", format_money(order.total_cents, order.currency)))
        await self._mailer.send(
            render_mail(
                to=recipient.email,
                subject=subject.format(order.created_at),
                paragraphs=[paragraph],
                table=table,
                key=key,
                signature=SIGNATURE,
            )
        )
