"""Jobs of password resets."""

from restwell.jobs import Run
from shop.letters import mailing
from shop.password_resets.mail import ResetMail


@mailing
async def send_reset_code(run: Run, email: str) -> None:
    await run.get(ResetMail).send_code(email, str(run.job_id))
