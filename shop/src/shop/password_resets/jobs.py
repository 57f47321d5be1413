from restwell.jobs import JobContext, mail_job
from shop.password_resets.mail import PasswordResetMail


@mail_job
async def send_reset_code(context: JobContext, email: str) -> None:
    await context.get(PasswordResetMail).send_code(email, str(context.job_id))
