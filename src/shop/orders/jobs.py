"""Jobs of orders."""

from uuid import UUID

from restwell.jobs import JobContext
from shop.letters import mailing
from shop.orders.mail import OrderMail


@mailing
async def send_confirmation(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(OrderMail).confirm(user_id, order_id, str(context.job_id))


@mailing
async def send_payment_failed(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(OrderMail).say_failed(user_id, order_id, str(context.job_id))
