from uuid import UUID

from msgspec import UnsetType

from restwell.auth import Actor, PasswordsBusy
from restwell.web import (
    REFRESH_COOKIE,
    Controller,
    CrossSiteRequest,
    Request,
    Response,
    client_info,
    delete,
    expired_session_cookies,
    get,
    post,
    reject_cross_site,
    session_cookies,
    signed_in,
)
from shop.login_throttle.service import TooManyAttempts
from shop.mfa.verification import InvalidMfaCode, MfaRequired
from shop.rate_limits import SIGN_IN
from shop.sessions.schemas import BearerTokens, CookieTokens, SessionList, SignInRequest, TokenRefreshRequest
from shop.sessions.service import InvalidCredentials, InvalidRefreshToken, SessionService


class SessionController(Controller):
    path = "/sessions"
    tags = ["Sessions"]

    @post(
        rate_limit=SIGN_IN,
        # Password and MFA code.
        query_budget=dict.fromkeys(
            (
                "login_throttle.by_key",
                "login_throttle.reset",
                "login_throttle.record_failure",
                "security_events.insert",
            ),
            2,
        ),
        raises=[InvalidCredentials, MfaRequired, InvalidMfaCode, TooManyAttempts, PasswordsBusy, CrossSiteRequest],
    )
    async def sign_in(
        self, request: Request, data: SignInRequest, sessions: SessionService
    ) -> Response[BearerTokens | CookieTokens]:
        """Create a session.

        Signs in with email, password and, if MFA is enabled, a code. Send the access token as `Authorization: Bearer
        ...`; when it expires, exchange the refresh token for a new pair. With `cookies`, browsers receive the tokens in
        HttpOnly cookies.
        """
        if data.cookies:
            reject_cross_site(request)
        session_id, tokens = await sessions.sign_in(data, client_info(request))
        return _token_response(tokens, in_cookies=data.cookies, status_code=201, location=str(session_id))

    @post("/refresh", status_code=200, raises=[InvalidRefreshToken, CrossSiteRequest])
    async def refresh_session(
        self, request: Request, data: TokenRefreshRequest, sessions: SessionService
    ) -> Response[BearerTokens | CookieTokens]:
        """Refresh a session.

        Exchanges a refresh token for a new pair and invalidates it. Reuse of the token after a grace period of ten
        seconds is treated as theft and revokes the session.
        """
        token = data.refresh_token
        if not isinstance(token, UnsetType):
            return _token_response(await sessions.refresh(token), in_cookies=False)
        reject_cross_site(request)
        return _token_response(await sessions.refresh(request.cookies.get(REFRESH_COOKIE, "")), in_cookies=True)

    @get(guards=[signed_in])
    async def list_sessions(self, actor: Actor, sessions: SessionService) -> SessionList:
        """List your active sessions, newest first."""
        return SessionList(await sessions.list_sessions(actor))

    @delete("/current", guards=[signed_in])
    async def revoke_current_session(self, actor: Actor, sessions: SessionService) -> Response[None]:
        """Revoke the current session."""
        await sessions.revoke(actor, actor.session_id)
        return _signed_out_response()

    @delete("/{session_id}", guards=[signed_in])
    async def revoke_session(self, session_id: UUID, actor: Actor, sessions: SessionService) -> None:
        """Revoke a session."""
        await sessions.revoke(actor, session_id)

    @delete(guards=[signed_in])
    async def revoke_all_sessions(self, actor: Actor, sessions: SessionService) -> Response[None]:
        """Revoke all your sessions."""
        await sessions.revoke_all(actor)
        return _signed_out_response()


def _token_response(
    tokens: BearerTokens, *, in_cookies: bool, status_code: int = 200, location: str | None = None
) -> Response[BearerTokens | CookieTokens]:
    if not in_cookies:
        return Response(content=tokens, status_code=status_code, location=location)
    cookies = session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
    return Response(
        content=CookieTokens(tokens.expires_in), status_code=status_code, location=location, cookies=cookies
    )


def _signed_out_response() -> Response[None]:
    return Response(content=None, status_code=204, cookies=expired_session_cookies())
