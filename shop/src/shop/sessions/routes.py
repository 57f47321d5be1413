from uuid import UUID

from msgspec import UnsetType

from restwell.auth import Actor, PasswordsBusy
from restwell.web import (
    REFRESH_COOKIE,
    ApiRequest,
    Controller,
    CrossSiteRequest,
    FromPath,
    Inject,
    JSONBody,
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
    sessions: SessionService

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
        errors=[InvalidCredentials, MfaRequired, InvalidMfaCode, TooManyAttempts, PasswordsBusy, CrossSiteRequest],
    )
    async def sign_in(
        self, request: ApiRequest, data: JSONBody[SignInRequest]
    ) -> Response[BearerTokens | CookieTokens]:
        """Create a session.

        Signs in with email, password and, if MFA is enabled, a code. Send the access token as `Authorization: Bearer
        ...`; when it expires, exchange the refresh token for a new pair. With `cookies`, browsers receive the tokens in
        HttpOnly cookies.
        """
        if data.cookies:
            reject_cross_site(request)
        session_id, tokens = await self.sessions.sign_in(data, client_info(request))
        return _token_response(
            tokens, in_cookies=data.cookies, status_code=201, headers={"location": f"/v1/sessions/{session_id}"}
        )

    @post("/refresh", status_code=200, errors=[InvalidRefreshToken, CrossSiteRequest])
    async def refresh_session(
        self, request: ApiRequest, data: JSONBody[TokenRefreshRequest]
    ) -> Response[BearerTokens | CookieTokens]:
        """Refresh a session.

        Exchanges a refresh token for a new pair and invalidates it. Reuse of the token after a grace period of ten
        seconds is treated as theft and revokes the session.
        """
        token = data.refresh_token
        if not isinstance(token, UnsetType):
            return _token_response(await self.sessions.refresh(token), in_cookies=False)
        reject_cross_site(request)
        return _token_response(await self.sessions.refresh(request.cookies.get(REFRESH_COOKIE, "")), in_cookies=True)

    @get(guards=[signed_in])
    async def list_sessions(self, actor: Inject[Actor]) -> SessionList:
        """List your active sessions, newest first."""
        return SessionList(await self.sessions.list_sessions(actor))

    @delete("/current", guards=[signed_in])
    async def revoke_current_session(self, actor: Inject[Actor]) -> Response[None]:
        """Revoke the current session."""
        await self.sessions.revoke(actor, actor.session_id)
        return _signed_out_response()

    @delete("/{session_id:uuid}", guards=[signed_in])
    async def revoke_session(self, session_id: FromPath[UUID], actor: Inject[Actor]) -> None:
        """Revoke a session."""
        await self.sessions.revoke(actor, session_id)

    @delete(guards=[signed_in])
    async def revoke_all_sessions(self, actor: Inject[Actor]) -> Response[None]:
        """Revoke all your sessions."""
        await self.sessions.revoke_all(actor)
        return _signed_out_response()


def _token_response(
    tokens: BearerTokens, *, in_cookies: bool, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[BearerTokens | CookieTokens]:
    if not in_cookies:
        return Response(tokens, status_code=status_code, headers=headers)
    cookies = session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
    return Response(CookieTokens(tokens.expires_in), status_code=status_code, headers=headers, cookies=cookies)


def _signed_out_response() -> Response[None]:
    return Response(None, status_code=204, cookies=expired_session_cookies())
