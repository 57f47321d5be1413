from uuid import UUID

from restwell.accounts._email_verification.mail import VerificationMail
from restwell.accounts._mail import AccountMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_welcome(context: JobContext, user_id: UUID) -> None:
    await context.get(VerificationMail).welcome(user_id, str(context.job_id))


@mail_job
async def send_verification_code(context: JobContext, user_id: UUID, email: str) -> None:
    await context.get(VerificationMail).send_code(user_id, email, str(context.job_id))


@mail_job
async def send_email_changed(context: JobContext, email: str, language: str) -> None:
    await context.get(AccountMail).send(email, lambda emails: emails.email_changed(), str(context.job_id), language)
