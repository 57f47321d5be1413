from restwell.accounts._core import MIGRATIONS
from restwell.accounts._email_verification import queries
from restwell.accounts._email_verification.jobs import send_email_changed, send_verification_code, send_welcome
from restwell.accounts._email_verification.mail import VerificationMail
from restwell.accounts._email_verification.routes import EmailVerificationController
from restwell.accounts._email_verification.service import EmailVerificationService
from restwell.web import Feature


def email_verification() -> Feature:
    return Feature(
        controllers=[EmailVerificationController],
        services=[EmailVerificationService, VerificationMail],
        jobs=[send_welcome, send_verification_code, send_email_changed],
        queries=[queries],
        migrations={"accounts_email_verification": MIGRATIONS / "accounts_email_verification"},
    )
