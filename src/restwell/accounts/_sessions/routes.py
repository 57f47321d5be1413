from uuid import UUID

from msgspec import UnsetType

from restwell.accounts._sessions.responses import signed_out_response, token_response
from restwell.accounts._sessions.schemas import BearerTokens, CookieTokens, SessionList, TokenRefreshRequest
from restwell.accounts._sessions.service import InvalidRefreshToken, SessionService
from restwell.accounts._user_directory import DirectoryUnavailable
from restwell.auth import Actor
from restwell.web import (
    REFRESH_COOKIE,
    Controller,
    CrossSiteRequest,
    Request,
    Response,
    delete,
    get,
    post,
    reject_cross_site,
    signed_in,
)


class SessionController(Controller):
    path = "/sessions"
    tags = ["Sessions"]

    @post(
        "/refresh",
        status_code=200,
        query_budget={"security_events.insert": 3},  # the changes that a directory has made to the account
        raises=[InvalidRefreshToken, DirectoryUnavailable, CrossSiteRequest],
    )
    async def refresh_session(
        self, request: Request, data: TokenRefreshRequest, sessions: SessionService
    ) -> Response[BearerTokens | CookieTokens]:
        """Refresh a session.

        Exchanges a refresh token for a new pair and invalidates it. Reuse of the token after a grace period of ten
        seconds is treated as theft and revokes the session.
        """
        token = data.refresh_token
        if not isinstance(token, UnsetType):
            return token_response(await sessions.refresh(token), in_cookies=False)
        reject_cross_site(request)
        return token_response(await sessions.refresh(request.cookies.get(REFRESH_COOKIE, "")), in_cookies=True)

    @get(guards=[signed_in])
    async def list_sessions(self, actor: Actor, sessions: SessionService) -> SessionList:
        """List your active sessions, newest first.

        The session of this request is marked as current.
        """
        return SessionList(await sessions.list_sessions(actor))

    @delete("/current", guards=[signed_in])
    async def revoke_current_session(self, actor: Actor, sessions: SessionService) -> Response[None]:
        """Revoke the current session.

        Signs you out on this device. Other sessions stay.
        """
        await sessions.revoke(actor, actor.session_id)
        return signed_out_response()

    @delete("/{session_id}", guards=[signed_in])
    async def revoke_session(self, session_id: UUID, actor: Actor, sessions: SessionService) -> None:
        """Revoke a session.

        Signs you out on another device.
        """
        await sessions.revoke(actor, session_id)

    @delete(guards=[signed_in])
    async def revoke_all_sessions(self, actor: Actor, sessions: SessionService) -> Response[None]:
        """Revoke all your sessions.

        Signs you out on every device, this one included.
        """
        await sessions.revoke_all(actor)
        return signed_out_response()
