from restwell.accounts._email_verification.schemas import EmailVerificationCompletionRequest, EmailVerificationRequest
from restwell.accounts._email_verification.service import EmailVerificationService, InvalidVerificationCode
from restwell.accounts._passwords.reauthentication import WrongPassword
from restwell.accounts._rates import EMAIL_CODES
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.accounts._users.service import EmailTaken
from restwell.auth import Actor, PasswordsBusy
from restwell.web import Controller, post, signed_in


class EmailVerificationController(Controller):
    path = "/email-verifications"
    tags = ["Users"]

    @post(
        status_code=202,
        rate_limit=EMAIL_CODES,
        guards=[signed_in],
        raises=[WrongPassword, TooManyAttempts, PasswordsBusy],
    )
    async def request_email_verification(
        self, data: EmailVerificationRequest, actor: Actor, email_verifications: EmailVerificationService
    ) -> None:
        """Request an email verification code.

        The code is sent to your current address, or to a new one. A new address requires your current password, and
        replaces the current one when the verification is completed.
        """
        await email_verifications.request(actor, data)

    @post("/completion", status_code=204, rate_limit=EMAIL_CODES, raises=[InvalidVerificationCode, EmailTaken])
    async def verify_email(
        self, data: EmailVerificationCompletionRequest, email_verifications: EmailVerificationService
    ) -> None:
        """Verify an email address with a code.

        A changed address is reported to the previous address by email.
        """
        await email_verifications.complete(data.code)
