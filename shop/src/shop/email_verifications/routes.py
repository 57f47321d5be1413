from restwell.auth import Actor, PasswordsBusy
from restwell.web import Controller, Inject, JSONBody, post, signed_in
from shop.email_verifications.schemas import EmailVerificationCompletionRequest, EmailVerificationRequest
from shop.email_verifications.service import EmailVerificationService, InvalidVerificationCode
from shop.login_throttle.service import TooManyAttempts
from shop.rate_limits import EMAIL_CODES
from shop.users.reauthentication import WrongPassword
from shop.users.service import EmailTaken


class EmailVerificationController(Controller):
    path = "/email-verifications"
    tags = ["Users"]
    email_verifications: EmailVerificationService

    @post(
        status_code=202,
        rate_limit=EMAIL_CODES,
        guards=[signed_in],
        errors=[WrongPassword, TooManyAttempts, PasswordsBusy],
    )
    async def request_email_verification(self, data: JSONBody[EmailVerificationRequest], actor: Inject[Actor]) -> None:
        """Request an email verification code.

        The code is sent to your current address, or to a new one. A new address requires your current password, and
        replaces the current one when the verification is completed.
        """
        await self.email_verifications.request(actor, data)

    @post("/completion", status_code=204, rate_limit=EMAIL_CODES, errors=[InvalidVerificationCode, EmailTaken])
    async def verify_email(self, data: JSONBody[EmailVerificationCompletionRequest]) -> None:
        """Verify an email address with a code.

        A changed address is reported to the previous address by email.
        """
        await self.email_verifications.complete(data.code)
