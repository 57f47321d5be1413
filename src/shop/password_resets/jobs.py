"""Jobs of password resets."""

from restwell.jobs import JobContext
from shop.letters import mailing
from shop.password_resets.mail import ResetMail


@mailing
async def send_reset_code(context: JobContext, email: str) -> None:
    await context.get(ResetMail).send_code(email, str(context.job_id))
