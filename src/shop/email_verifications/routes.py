"""HTTP of email confirmations."""

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import Controller, Inject, JSONBody, post, signed_in
from shop.email_verifications.schemas import EmailVerificationCompletionRequest, EmailVerificationRequest
from shop.email_verifications.service import EmailTaken, EmailVerificationService, InvalidVerificationCode
from shop.rate_limits import CODES
from shop.sessions.login_throttle import TooManyAttempts
from shop.sessions.reauthentication import WrongPassword


class EmailVerificationController(Controller):
    path = "/email-verifications"
    tags = ["Users"]
    confirmations: EmailVerificationService

    @post(status_code=202, rate_limit=CODES, guards=[signed_in], errors=[WrongPassword, TooManyAttempts, PasswordsBusy])
    async def request_email_verification(self, data: JSONBody[EmailVerificationRequest], actor: Inject[Actor]) -> None:
        """Have a code sent to your address, or to the one you change to.

        A new address needs your current password, and is yours when the code comes back.
        """
        await self.confirmations.request(actor, data)

    @post("/completion", status_code=204, rate_limit=CODES, errors=[InvalidVerificationCode, EmailTaken])
    async def verify_email(self, data: JSONBody[EmailVerificationCompletionRequest]) -> None:
        """Confirm an address with the code from the mail.

        If it is a new one, the old one is told.
        """
        await self.confirmations.confirm(data.code)
