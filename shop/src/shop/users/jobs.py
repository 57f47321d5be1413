from uuid import UUID

from restwell.jobs import JobContext, mail_job
from shop.users.mail import AccountMail


@mail_job
async def send_password_changed(context: JobContext, user_id: UUID) -> None:
    await context.get(AccountMail).password_changed(user_id, str(context.job_id))


@mail_job
async def send_mfa_changed(context: JobContext, user_id: UUID, *, active: bool) -> None:
    await context.get(AccountMail).mfa_changed(user_id, str(context.job_id), active=active)


@mail_job
async def send_identity_linked(context: JobContext, user_id: UUID, provider: str) -> None:
    await context.get(AccountMail).identity_linked(user_id, provider, str(context.job_id))
