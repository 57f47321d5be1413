"""HTTP of password resets."""

from restwell.auth.passwords import CommonPassword, PasswordsBusy
from restwell.web import Controller, JSONBody, post
from shop.limits import CODES
from shop.password_resets.schemas import Reset, ResetRequest
from shop.password_resets.service import InvalidResetCode, PasswordResetService


class PasswordResetController(Controller):
    path = "/password-resets"
    tags = ["Users"]
    resets: PasswordResetService

    @post(status_code=202, rate_limit=CODES)
    async def request_reset(self, data: JSONBody[ResetRequest]) -> None:
        """Ask for a code to choose a new password with.

        It is sent to the address, if that has an account; the answer is the same if not.
        """
        await self.resets.request(data.email)

    @post("/completion", status_code=204, rate_limit=CODES, errors=[InvalidResetCode, CommonPassword, PasswordsBusy])
    async def reset_password(self, data: JSONBody[Reset]) -> None:
        """Choose a new password with the code from the mail.

        Every session of the account ends.
        """
        await self.resets.reset(data.code, data.password)
