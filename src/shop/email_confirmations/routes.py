"""HTTP of email confirmations."""

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import Controller, Inject, JSONBody, post, signed_in
from shop.email_confirmations.schemas import Confirmation, ConfirmationRequest
from shop.email_confirmations.service import EmailConfirmationService, EmailTaken, InvalidConfirmationCode
from shop.limits import CODES
from shop.sessions.attempts import TooManyAttempts
from shop.sessions.reauthentication import WrongPassword


class EmailConfirmationController(Controller):
    path = "/email-confirmations"
    tags = ["Users"]
    confirmations: EmailConfirmationService

    @post(status_code=202, rate_limit=CODES, guards=[signed_in], errors=[WrongPassword, TooManyAttempts, PasswordsBusy])
    async def request_confirmation(self, data: JSONBody[ConfirmationRequest], actor: Inject[Actor]) -> None:
        """Have a code sent to your address, or to the one you change to.

        A new address needs your current password, and is yours when the code comes back.
        """
        await self.confirmations.request(actor, data)

    @post("/completion", status_code=204, rate_limit=CODES, errors=[InvalidConfirmationCode, EmailTaken])
    async def confirm_email(self, data: JSONBody[Confirmation]) -> None:
        """Confirm an address with the code from the mail.

        If it is a new one, the old one is told.
        """
        await self.confirmations.confirm(data.code)
