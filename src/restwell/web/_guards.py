"""Guards: authentication and authorization of routes. They run before the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from restwell.auth import Actor
from restwell.edge._context import Scope, request_context
from restwell.errors import Forbidden, Unauthorized
from restwell.web._cookies import cookies_in
from restwell.web._rate_limits import route_guards
from restwell.web._session_cookies import ACCESS_COOKIE, SESSION_COOKIES, reject_cross_site

Authenticate = Callable[[str], Awaitable[Actor]]
"""Returns the actor of an access token. Raises Unauthorized."""

_ACTOR: Final = "actor"
_SCHEME: Final = "bearer"


class InsufficientScope(Forbidden):
    """RFC 6750 3.1."""

    code, message = (
        "insufficient_scope",
        "The token does not have the required scope.",
    )

    def __init__(self, message: str | None = None, *, scope: str | None = None) -> None:
        parameter = f', scope="{scope}"' if scope is not None else ""
        super().__init__(message, headers={"www-authenticate": f'Bearer error="insufficient_scope"{parameter}'})


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Allow any user with a valid access token of an active session."""
    if (await _authenticate(connection)).is_machine:
        raise InsufficientScope


class signed_in_or_scope:  # noqa: N801  # used like a guard function
    """Allow any user, and machine clients with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        actor = await _authenticate(connection)
        if actor.is_machine and self.scope not in actor.scopes:
            raise InsufficientScope(scope=self.scope)


class requires_role:  # noqa: N801  # as above
    """Allow users with this role, and machine clients with the scope ``or_scope``."""

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
    """The actor that a guard of this route has authenticated. For custom guards behind it and for handlers."""
    actor: Actor = request.scope["state"][_ACTOR]
    return actor


def authenticates(handler: BaseRouteHandler) -> bool:
    """Whether a guard of the route authenticates, so that it has an actor."""
    return any(map(is_kit_guard, route_guards(handler)))


def is_kit_guard(guard: object) -> bool:
    """Whether the guard is one of this module, or a subclass."""
    return guard is signed_in or isinstance(guard, (requires_role, signed_in_or_scope))


def guard_name(guard: object) -> str:
    """A short description of the requirement; the name of a custom guard."""
    if guard is signed_in:
        return "signed in"
    if type(guard) is requires_role:
        return guard.role
    if type(guard) is signed_in_or_scope:
        return f"signed in or {guard.scope}"
    guard = getattr(
        guard, "func", guard
    )  # functools.partial, or the wrapper of the framework around a synchronous function
    return getattr(guard, "__name__", type(guard).__name__)


async def _authenticate(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    actor = await _find_actor(connection)
    connection.scope["state"][_ACTOR] = actor
    request_context(cast("Scope", connection.scope)).user_id = actor.id
    return actor


async def _find_actor(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
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
        error.headers["www-authenticate"] = "Bearer"  # RFC 6750 3.1: no error code without a token
        raise error
    authenticate: Authenticate = connection.app.state.authenticate
    return await authenticate(token.strip(" \t"))
