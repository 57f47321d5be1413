from restwell.accounts._passwords.schemas import SignInRequest
from restwell.accounts._passwords.second_factor import InvalidMfaCode, MfaRequired
from restwell.accounts._passwords.sign_in import InvalidCredentials, PasswordSignIn
from restwell.accounts._rates import SIGN_IN
from restwell.accounts._sessions.responses import token_response
from restwell.accounts._sessions.schemas import BearerTokens, CookieTokens
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.accounts._user_directory import DirectoryUnavailable
from restwell.auth import PasswordsBusy
from restwell.errors import AppError
from restwell.web import Controller, CrossSiteRequest, Request, Response, client_info, post, reject_cross_site


def password_sign_in(*, mfa: bool, directory: bool) -> type[Controller]:
    """The route, with the errors of the parts that the application has."""
    errors: list[type[AppError]] = [MfaRequired, InvalidMfaCode] if mfa else []
    if directory:
        errors.append(DirectoryUnavailable)

    class PasswordSignInController(Controller):
        path = "/sessions"
        tags = ["Sessions"]

        @post(
            rate_limit=SIGN_IN,
            query_budget={
                # Password and MFA code.
                "login_throttle.by_key": 2,
                "login_throttle.reset": 2,
                "login_throttle.record_failure": 2,
                "security_events.insert": 5,  # with the changes that a directory has made to the account
            },
            raises=[InvalidCredentials, *errors, TooManyAttempts, PasswordsBusy, CrossSiteRequest],
        )
        async def sign_in(
            self, request: Request, data: SignInRequest, sign_in: PasswordSignIn
        ) -> Response[BearerTokens | CookieTokens]:
            """Create a session.

            Signs in with email, password and, if MFA is enabled, a code. Send the access token as `Authorization:
            Bearer ...`; when it expires, exchange the refresh token for a new pair. With `cookies`, browsers receive
            the tokens in HttpOnly cookies.
            """
            if data.cookies:
                reject_cross_site(request)
            session_id, tokens = await sign_in.sign_in(data, client_info(request))
            return token_response(tokens, in_cookies=data.cookies, status_code=201, location=str(session_id))

    return PasswordSignInController
