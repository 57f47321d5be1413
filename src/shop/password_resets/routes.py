"""HTTP of password resets."""

from restwell.auth.passwords import CommonPassword, PasswordsBusy
from restwell.web import Controller, JSONBody, post
from shop.password_resets.schemas import PasswordResetCompletionRequest, PasswordResetRequest
from shop.password_resets.service import InvalidResetCode, PasswordResetService
from shop.rate_limits import CODES


class PasswordResetController(Controller):
    path = "/password-resets"
    tags = ["Users"]
    resets: PasswordResetService

    @post(status_code=202, rate_limit=CODES)
    async def request_password_reset(self, data: JSONBody[PasswordResetRequest]) -> None:
        """Ask for a code to choose a new password with.

        It is sent to the address, if that has an account; the answer is the same if not.
        """
        await self.resets.request(data.email)

    @post("/completion", status_code=204, rate_limit=CODES, errors=[InvalidResetCode, CommonPassword, PasswordsBusy])
    async def reset_password(self, data: JSONBody[PasswordResetCompletionRequest]) -> None:
        """Choose a new password with the code from the mail.

        Every session of the account ends.
        """
        await self.resets.reset(data.code, data.password)
