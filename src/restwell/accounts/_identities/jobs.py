from uuid import UUID

from restwell.accounts._mail import AccountMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_identity_linked(context: JobContext, user_id: UUID, provider: str) -> None:
    await context.get(AccountMail).notify(user_id, lambda emails: emails.identity_linked(provider), str(context.job_id))
