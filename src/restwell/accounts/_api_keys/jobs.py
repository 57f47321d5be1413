from uuid import UUID

from restwell.accounts._mail import AccountMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_api_key_created(context: JobContext, user_id: UUID, start: str) -> None:
    await context.get(AccountMail).notify(user_id, lambda emails: emails.api_key_created(start), str(context.job_id))
