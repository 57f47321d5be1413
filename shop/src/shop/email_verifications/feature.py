from typing import Final

from restwell.web import Feature
from shop.email_verifications import queries
from shop.email_verifications.jobs import send_email_changed, send_verification_code, send_welcome
from shop.email_verifications.mail import VerificationMail
from shop.email_verifications.routes import EmailVerificationController
from shop.email_verifications.service import EmailVerificationService

email_verifications: Final = Feature(
    controllers=[EmailVerificationController],
    services=[EmailVerificationService, VerificationMail],
    jobs=[send_welcome, send_verification_code, send_email_changed],
    queries=[queries],
)
