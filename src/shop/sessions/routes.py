"""HTTP of sessions."""

from uuid import UUID

from msgspec import UnsetType

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    client_info,
    delete,
    get,
    post,
    signed_in,
)
from restwell.web.session_cookies import (
    REFRESH_COOKIE,
    CrossSiteRequest,
    expired_session_cookies,
    reject_cross_site,
    session_cookies,
)
from shop.mfa.verification import InvalidMfaCode, MfaRequired
from shop.rate_limits import SIGN_IN
from shop.sessions.login_throttle import TooManyAttempts
from shop.sessions.schemas import BearerTokens, CookieTokens, SessionList, SignInRequest, TokenRefreshRequest
from shop.sessions.service import InvalidCredentials, InvalidRefreshToken, SessionService


class SessionController(Controller):
    path = "/sessions"
    tags = ["Sessions"]
    sessions: SessionService

    @post(
        rate_limit=SIGN_IN,
        # Of the password and of the second factor.
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
        """Sign in.

        Send the access token as `Authorization: Bearer ...`; when it expires, trade the refresh token for a new pair. A page in a
        browser asks for `cookies` instead, and sends neither.
        """
        if data.cookies:
            reject_cross_site(request)
        session_id, tokens = await self.sessions.sign_in(data, client_info(request))
        return _answer(tokens, in_cookies=data.cookies, status=201, headers={"location": f"/v1/sessions/{session_id}"})

    @post("/refresh", status_code=200, errors=[InvalidRefreshToken, CrossSiteRequest])
    async def refresh(
        self, request: ApiRequest, data: JSONBody[TokenRefreshRequest]
    ) -> Response[BearerTokens | CookieTokens]:
        """Trade a refresh token for a new pair.

        The old token dies. Using it again later than ten seconds afterwards ends the session: one of the two users stole it.
        """
        token = data.refresh_token
        if not isinstance(token, UnsetType):
            return _answer(await self.sessions.refresh(token), in_cookies=False)
        reject_cross_site(request)
        return _answer(await self.sessions.refresh(request.cookies.get(REFRESH_COOKIE, "")), in_cookies=True)

    @get(guards=[signed_in])
    async def list_sessions(self, actor: Inject[Actor]) -> SessionList:
        """List the devices you are signed in on, newest first."""
        return SessionList(await self.sessions.list_sessions(actor))

    @delete("/current", guards=[signed_in])
    async def sign_out(self, actor: Inject[Actor]) -> Response[None]:
        """Sign out here."""
        await self.sessions.end(actor, actor.session_id)
        return _signed_out()

    @delete("/{session_id:uuid}", guards=[signed_in])
    async def end_session(self, session_id: FromPath[UUID], actor: Inject[Actor]) -> None:
        """Sign another device out."""
        await self.sessions.end(actor, session_id)

    @delete(guards=[signed_in])
    async def sign_out_everywhere(self, actor: Inject[Actor]) -> Response[None]:
        """Sign out everywhere."""
        await self.sessions.end_all(actor)
        return _signed_out()


def _answer(
    tokens: BearerTokens, *, in_cookies: bool, status: int = 200, headers: dict[str, str] | None = None
) -> Response[BearerTokens | CookieTokens]:
    if not in_cookies:
        return Response(tokens, status_code=status, headers=headers)
    cookies = session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
    return Response(CookieTokens(tokens.expires_in), status_code=status, headers=headers, cookies=cookies)


def _signed_out() -> Response[None]:
    return Response(None, status_code=204, cookies=expired_session_cookies())
