from uuid import UUID

from restwell.accounts._mail import AccountMail
from restwell.accounts._passwords.mail import PasswordResetMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_password_changed(context: JobContext, user_id: UUID) -> None:
    await context.get(AccountMail).notify(user_id, lambda emails: emails.password_changed(), str(context.job_id))


@mail_job
async def send_reset_code(context: JobContext, email: str) -> None:
    await context.get(PasswordResetMail).send_code(email, str(context.job_id))
