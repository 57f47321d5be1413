"""Jobs of users."""

from uuid import UUID

from restwell.jobs import Run
from shop.letters import mailing
from shop.users.mail import AccountMail


@mailing
async def send_welcome(run: Run, user_id: UUID) -> None:
    await run.get(AccountMail).welcome(user_id, str(run.job_id))


@mailing
async def send_password_changed(run: Run, user_id: UUID) -> None:
    await run.get(AccountMail).password_changed(user_id, str(run.job_id))


@mailing
async def send_second_factor(run: Run, user_id: UUID, *, active: bool) -> None:
    await run.get(AccountMail).second_factor(user_id, str(run.job_id), active=active)


@mailing
async def send_identity_linked(run: Run, user_id: UUID, provider: str) -> None:
    await run.get(AccountMail).identity_linked(user_id, provider, str(run.job_id))
