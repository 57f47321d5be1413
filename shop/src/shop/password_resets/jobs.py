from restwell.jobs import JobContext
from shop.email_templates import email_job
from shop.password_resets.mail import PasswordResetMail


@email_job
async def send_reset_code(context: JobContext, email: str) -> None:
    await context.get(PasswordResetMail).send_code(email, str(context.job_id))
