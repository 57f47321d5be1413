from uuid import UUID

from restwell.accounts._mail import AccountMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_mfa_enabled(context: JobContext, user_id: UUID) -> None:
    await context.get(AccountMail).notify(user_id, lambda emails: emails.mfa_enabled(), str(context.job_id))


@mail_job
async def send_mfa_disabled(context: JobContext, user_id: UUID) -> None:
    await context.get(AccountMail).notify(user_id, lambda emails: emails.mfa_disabled(), str(context.job_id))
