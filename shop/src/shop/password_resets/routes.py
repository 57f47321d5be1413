from restwell.auth import CommonPassword, PasswordsBusy
from restwell.web import Controller, post
from shop.password_resets.schemas import PasswordResetCompletionRequest, PasswordResetRequest
from shop.password_resets.service import InvalidResetCode, PasswordResetService
from shop.rate_limits import EMAIL_CODES


class PasswordResetController(Controller):
    path = "/password-resets"
    tags = ["Users"]

    @post(status_code=202, rate_limit=EMAIL_CODES)
    async def request_password_reset(self, data: PasswordResetRequest, resets: PasswordResetService) -> None:
        """Request a password reset code.

        The code is sent by email if an account with this address exists. The response does not reveal whether one
        exists.
        """
        await resets.request(data.email)

    @post(
        "/completion", status_code=204, rate_limit=EMAIL_CODES, raises=[InvalidResetCode, CommonPassword, PasswordsBusy]
    )
    async def reset_password(self, data: PasswordResetCompletionRequest, resets: PasswordResetService) -> None:
        """Reset a password with a code.

        Revokes all sessions of the account.
        """
        await resets.reset(data.code, data.password)
