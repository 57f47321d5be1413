"""Guards: who may call a route. Declared on it, enforced before its body is read, and shown in OpenAPI."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from restwell.auth.actor import Actor
from restwell.edge.context import Scope, request_context
from restwell.errors import Forbidden, Unauthorized
from restwell.web.cookies import cookies_in
from restwell.web.rate_limits import route_guards
from restwell.web.session_cookies import ACCESS_COOKIE, SESSION_COOKIES, reject_cross_site

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


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Any user with a valid access token of a session that has not ended."""
    if (await _authenticate(connection)).is_machine:
        raise InsufficientScope


class signed_in_or_scope:  # noqa: N801  # reads as the guard function it is used as
    """Any user, or a machine client with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        actor = await _authenticate(connection)
        if actor.is_machine and self.scope not in actor.scopes:
            raise InsufficientScope(scope=self.scope)


class requires_role:  # noqa: N801  # as above
    """Users with this role, and with ``or_scope``, machine clients that have it."""

    def __init__(self, role: str, *, or_scope: str | None = None) -> None:
        self.role = role
        self.scope = or_scope

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        actor = await _authenticate(connection)
        if actor.is_machine:
            if self.scope not in actor.scopes:
                raise InsufficientScope(scope=self.scope)
        elif actor.role != self.role:
            raise Forbidden


def current_actor(request: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    """The actor that a guard of this route has authenticated: for handlers that take ``actor``, and for guards of one's own behind it."""
    actor: Actor = request.scope["state"][_ACTOR]
    return actor


def authenticates(handler: BaseRouteHandler) -> bool:
    """Whether one of its guards is of those above, or a subclass: then there is an actor."""
    return any(map(is_kit_guard, route_guards(handler)))


def is_kit_guard(guard: object) -> bool:
    """Whether it is one of those above, or a subclass."""
    return guard is signed_in or isinstance(guard, (requires_role, signed_in_or_scope))


def guard_name(guard: object) -> str:
    """What the guard asks for, in a word or two: of one's own guards, their name."""
    if guard is signed_in:
        return "signed in"
    if type(guard) is requires_role:
        return guard.role
    if type(guard) is signed_in_or_scope:
        return f"signed in or {guard.scope}"
    guard = getattr(
        guard, "func", guard
    )  # of functools.partial, and of the framework for a function that is not asynchronous
    return getattr(guard, "__name__", type(guard).__name__)


async def _authenticate(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    actor = await _actor_of(connection)
    connection.scope["state"][_ACTOR] = actor
    request_context(cast("Scope", connection.scope)).user_id = actor.id
    return actor


async def _actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != _SCHEME:
            token = ""
    else:
        token = ""
        if connection.app.state.get(SESSION_COOKIES):
            token = cookies_in(connection.headers.get("cookie", "")).get(ACCESS_COOKIE, "")
        if token:
            reject_cross_site(connection)
    if not token:
        error = Unauthorized("Send an access token: Authorization: Bearer ...")
        error.headers["www-authenticate"] = "Bearer"  # RFC 6750 3.1: no error code where no token was sent
        raise error
    authenticate: Authenticate = connection.app.state.authenticate
    return await authenticate(token.strip())
