"""Guards: who may call a route. Declared on it, enforced before its body is read, and shown in OpenAPI."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from restwell.auth.actor import Actor
from restwell.edge.exchange import Scope, exchange_in
from restwell.errors import Forbidden, Unauthorized
from restwell.web.limits import count_request
from restwell.web.request import ApiRequest
from restwell.web.session_cookies import ACCESS, CrossSiteRequest, refuse_cross_site

Authenticate = Callable[[str], Awaitable[Actor]]
"""Turns an access token into its actor. Raises Unauthorized."""

_ACTOR: Final = "actor"
_SCHEME: Final = "bearer"


class InsufficientScope(Forbidden):
    """RFC 6750 3.1."""

    code, message = (
        "insufficient_scope",
        "This machine client may not do that. Ask for a token with the scope it needs.",
    )

    def __init__(self, message: str | None = None, *, scope: str | None = None) -> None:
        needed = f', scope="{scope}"' if scope is not None else ""
        super().__init__(message, headers={"www-authenticate": f'Bearer error="insufficient_scope"{needed}'})


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Any user with a valid access token of a session that has not ended."""
    if (await _authenticate(connection, handler)).is_machine:
        raise InsufficientScope


class signed_in_or_scope:  # noqa: N801  # reads as the guard function it is used as
    """Any user, or a machine client with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        actor = await _authenticate(connection, handler)
        if actor.is_machine and self.scope not in actor.scopes:
            raise InsufficientScope(scope=self.scope)


class requires_role:  # noqa: N801  # as above
    """Users with this role, and with ``or_scope``, machine clients that have it."""

    def __init__(self, role: str, *, or_scope: str | None = None) -> None:
        self.role = role
        self.scope = or_scope

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        actor = await _authenticate(connection, handler)
        if actor.is_machine:
            if self.scope not in actor.scopes:
                raise InsufficientScope(scope=self.scope)
        elif actor.role != self.role:
            raise Forbidden


def current_actor(request: ApiRequest) -> Actor:
    """The actor that a guard of this route let in; for handlers that take ``actor``."""
    actor: Actor = request.scope["state"][_ACTOR]
    return actor


async def _authenticate(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> Actor:
    """The actor. Counts the request against their rate, or if nobody is let in, against that of its network."""
    try:
        actor = await _actor_of(connection)
    except (Unauthorized, CrossSiteRequest):
        await count_request(connection, handler)
        raise
    connection.scope["state"][_ACTOR] = actor
    exchange_in(cast("Scope", connection.scope)).user_id = actor.id
    await count_request(connection, handler, str(actor.id))
    return actor


async def _actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != _SCHEME:
            token = ""
    elif token := connection.cookies.get(ACCESS, ""):
        refuse_cross_site(connection)
    if not token:
        error = Unauthorized("Send an access token: Authorization: Bearer ...")
        error.headers["www-authenticate"] = "Bearer"  # RFC 6750 3.1: no error code where no token was sent
        raise error
    authenticate: Authenticate = connection.app.state.authenticate
    return await authenticate(token.strip())
