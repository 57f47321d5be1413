from uuid import UUID

from restwell.jobs import JobContext, mail_job
from shop.orders.mail import OrderMail


@mail_job
async def send_confirmation(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(OrderMail).confirm(user_id, order_id, str(context.job_id))


@mail_job
async def send_payment_failed(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(OrderMail).payment_failed(user_id, order_id, str(context.job_id))


@mail_job
async def send_expired(context: JobContext, user_id: UUID, order_id: UUID) -> None:
    await context.get(OrderMail).expired(user_id, order_id, str(context.job_id))
