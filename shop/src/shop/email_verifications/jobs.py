from uuid import UUID

from restwell.jobs import JobContext, mail_job
from shop.email_verifications.mail import VerificationMail


@mail_job
async def send_welcome(context: JobContext, user_id: UUID) -> None:
    await context.get(VerificationMail).welcome(user_id, str(context.job_id))


@mail_job
async def send_verification_code(context: JobContext, user_id: UUID, email: str) -> None:
    await context.get(VerificationMail).send_code(user_id, email, str(context.job_id))


@mail_job
async def send_email_changed(context: JobContext, email: str) -> None:
    await context.get(VerificationMail).notify_old_address(email, str(context.job_id))
