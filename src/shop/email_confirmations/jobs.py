"""Jobs of email confirmations."""

from uuid import UUID

from restwell.jobs import JobContext
from shop.email_confirmations.mail import ConfirmationMail
from shop.letters import mailing


@mailing
async def send_confirmation_code(context: JobContext, user_id: UUID, email: str) -> None:
    await context.get(ConfirmationMail).send_code(user_id, email, str(context.job_id))


@mailing
async def send_email_changed(context: JobContext, email: str) -> None:
    await context.get(ConfirmationMail).tell_old_address(email, str(context.job_id))
