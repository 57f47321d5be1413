"""Jobs of orders."""

from uuid import UUID

from restwell.jobs import Run
from shop.letters import mailing
from shop.orders.mail import OrderMail


@mailing
async def send_confirmation(run: Run, user_id: UUID, order_id: UUID) -> None:
    await run.get(OrderMail).confirm(user_id, order_id, str(run.job_id))


@mailing
async def send_payment_failed(run: Run, user_id: UUID, order_id: UUID) -> None:
    await run.get(OrderMail).say_failed(user_id, order_id, str(run.job_id))
