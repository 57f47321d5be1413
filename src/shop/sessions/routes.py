"""HTTP of sessions."""

from typing import Final
from uuid import UUID

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    JSONBody,
    Provided,
    Response,
    created,
    delete,
    get,
    post,
    signed_in,
)
from shop.sessions.schemas import RefreshRequest, SessionList, SignIn, Tokens
from shop.sessions.service import Device, InvalidCredentials, InvalidRefreshToken, SessionService

_MAX_AGENT: Final = 200


class SessionController(Controller):
    path = "/sessions"
    tags = ["Sessions"]
    sessions: SessionService

    @post(errors=[InvalidCredentials, PasswordsBusy])
    async def sign_in(self, request: ApiRequest, data: JSONBody[SignIn]) -> Response[Tokens]:
        """Sign in.

        Send the access token as `Authorization: Bearer ...`; when it expires, trade the refresh token for a new pair.
        """
        session_id, tokens = await self.sessions.sign_in(data, _device(request))
        return created(tokens, f"/v1/sessions/{session_id}")

    @post("/refresh", status_code=200, errors=[InvalidRefreshToken])
    async def refresh(self, data: JSONBody[RefreshRequest]) -> Tokens:
        """Trade a refresh token for a new pair.

        The old token dies. Using it again later than ten seconds afterwards ends the session: one of the two users stole it.
        """
        return await self.sessions.refresh(data.refresh_token)

    @get(guards=[signed_in])
    async def list_sessions(self, actor: Provided[Actor]) -> SessionList:
        """List the devices you are signed in on, newest first."""
        return SessionList(await self.sessions.list_sessions(actor))

    @delete("/current", guards=[signed_in])
    async def sign_out(self, actor: Provided[Actor]) -> None:
        """Sign out here."""
        await self.sessions.end(actor, actor.session_id)

    @delete("/{session_id:uuid}", guards=[signed_in])
    async def end_session(self, session_id: FromPath[UUID], actor: Provided[Actor]) -> None:
        """Sign another device out."""
        await self.sessions.end(actor, session_id)

    @delete(guards=[signed_in])
    async def sign_out_everywhere(self, actor: Provided[Actor]) -> None:
        """Sign out everywhere."""
        await self.sessions.end_all(actor)


def _device(request: ApiRequest) -> Device:
    agent = request.headers.get("user-agent", "")
    return Device("".join(filter(str.isprintable, agent))[:_MAX_AGENT], request.client.host if request.client else "")
