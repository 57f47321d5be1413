from restwell.accounts._passwords.reauthentication import WrongPassword
from restwell.accounts._passwords.resets import InvalidResetCode, PasswordResetService
from restwell.accounts._passwords.schemas import (
    PasswordChangeRequest,
    PasswordResetCompletionRequest,
    PasswordResetRequest,
    RegistrationRequest,
)
from restwell.accounts._passwords.service import PasswordService
from restwell.accounts._rates import EMAIL_CODES, REGISTRATION
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import EmailTaken
from restwell.auth import Actor, PasswordRejected, PasswordsBusy
from restwell.web import Controller, Request, Response, client_info, created, post, signed_in


class RegistrationController(Controller):
    path = "/users"
    tags = ["Users"]

    @post(rate_limit=REGISTRATION, raises=[EmailTaken, PasswordRejected, PasswordsBusy])
    async def register_user(
        self, request: Request, data: RegistrationRequest, passwords: PasswordService
    ) -> Response[User]:
        """Create an account.

        The email address must not belong to an existing account. Then sign in: registration creates no session.
        """
        return created(await passwords.register(data, accept_language=client_info(request).accept_language), "me")


class PasswordController(Controller):
    path = "/users/me/password"
    tags = ["Users"]
    guards = [signed_in]

    @post(status_code=204, raises=[WrongPassword, TooManyAttempts, PasswordRejected, PasswordsBusy])
    async def change_own_password(self, data: PasswordChangeRequest, actor: Actor, passwords: PasswordService) -> None:
        """Change your password.

        Revokes all other sessions and sends a notification email.
        """
        await passwords.change(actor, data)


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
        "/completion",
        status_code=204,
        rate_limit=EMAIL_CODES,
        query_budget={"users.by_id": 2},  # before the password is hashed, and in the transaction
        raises=[InvalidResetCode, PasswordRejected, PasswordsBusy],
    )
    async def reset_password(self, data: PasswordResetCompletionRequest, resets: PasswordResetService) -> None:
        """Reset a password with a code.

        Revokes all sessions of the account.
        """
        await resets.reset(data.code, data.password)
