"""Jobs of email confirmations."""

from uuid import UUID

from restwell.jobs import Run
from shop.email_confirmations.mail import ConfirmationMail
from shop.letters import mailing


@mailing
async def send_confirmation_code(run: Run, user_id: UUID, email: str) -> None:
    await run.get(ConfirmationMail).send_code(user_id, email, str(run.job_id))


@mailing
async def send_email_changed(run: Run, email: str) -> None:
    await run.get(ConfirmationMail).tell_old_address(email, str(run.job_id))
