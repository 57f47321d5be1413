"""Guards: authentication and authorization of routes. They run before the body is read.

Three kinds of callers have an access token: a user in a session, an API key, which acts as its user within its scopes,
and a machine client, which has scopes and no user. Any token of a user with scopes counts as an API key. An API key and
a machine client pass only a guard that names one of their scopes.
"""

from restwell.auth import Actor
from restwell.errors import Forbidden
from restwell.web._authentication import MissingCredentials
from restwell.web._request import Request


class InsufficientScope(Forbidden):
    """RFC 6750 3.1."""

    code, message = (
        "insufficient_scope",
        "The token does not have the required scope.",
    )

    def __init__(self, message: str | None = None, *, scope: str | None = None, scheme: str = "Bearer") -> None:
        parameter = f', scope="{scope}"' if scope is not None else ""
        super().__init__(message, headers={"www-authenticate": f'{scheme} error="insufficient_scope"{parameter}'})


async def signed_in(request: Request) -> None:
    """Allow users in a session. API keys and machine clients are refused."""
    _check_scope(request, await _authenticate(request), None)


class signed_in_or_api_key:  # noqa: N801  # used like a guard function
    """Allow users in a session, and API keys with this scope. Machine clients are refused."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        actor = await _authenticate(request)
        _check_scope(request, actor, None if actor.is_machine else self.scope)


class signed_in_or_scope:  # noqa: N801  # as above
    """Allow users in a session, and API keys and machine clients with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        _check_scope(request, await _authenticate(request), self.scope)


class requires_role:  # noqa: N801  # as above
    """Allow users in a session who have one of these roles.

    With ``or_scope``, also machine clients with this scope, and API keys with this scope whose user has such a role.
    """

    def __init__(self, *roles: str, or_scope: str | None = None) -> None:
        if not roles or not all(isinstance(role, str) for role in roles):
            raise TypeError('requires_role takes the roles one by one, as in requires_role("editor", "admin")')
        self.roles = roles
        self.scope = or_scope

    async def __call__(self, request: Request) -> None:
        actor = await _authenticate(request)
        _check_scope(request, actor, self.scope)
        if not actor.is_machine and actor.role not in self.roles:
            raise Forbidden


async def optional_sign_in(request: Request) -> None:
    """Allow users in a session, and requests without credentials. Other requests are refused as by ``signed_in``.

    Routes have it whose handler takes ``actor: Actor | None``.
    """
    try:
        actor = await _authenticate(request)
    except MissingCredentials:
        return
    _check_scope(request, actor, None)


def is_kit_guard(guard: object) -> bool:
    """Whether the guard is one of this module, or a subclass."""
    return (
        guard is signed_in
        or guard is optional_sign_in
        or isinstance(guard, (requires_role, signed_in_or_api_key, signed_in_or_scope))
    )


def guard_name(guard: object) -> str:
    """A short description of the requirement; the name of a custom guard."""
    if guard is signed_in:
        return "signed in"
    if guard is optional_sign_in:
        return "optional sign-in"
    if type(guard) is signed_in_or_api_key:
        return f"signed in or API key with {guard.scope}"
    if type(guard) is signed_in_or_scope:
        return f"signed in or {guard.scope}"
    if type(guard) is requires_role:
        return " or ".join([*guard.roles, *([guard.scope] if guard.scope is not None else [])])
    guard = getattr(guard, "func", guard)  # functools.partial
    return getattr(guard, "__name__", type(guard).__name__)


async def _authenticate(request: Request) -> Actor:
    scheme = request.auth
    if scheme is None:
        raise RuntimeError("the application has no authenticate=, and the route needs it")  # checked at start
    request.actor = actor = await scheme.authenticate(request)
    return actor


def _check_scope(request: Request, actor: Actor, scope: str | None) -> None:
    """Raises InsufficientScope for an API key or a machine client without this scope; without ``scope``, for any."""
    if not (actor.is_machine or actor.is_api_key) or scope in actor.scopes:
        return
    callers = "OAuth clients" if actor.is_machine else "API keys and other tokens with scopes"
    message = f"{callers} cannot use this operation. Sign in as a user." if scope is None else None
    challenge = request.auth.challenge if request.auth is not None else "Bearer"
    raise InsufficientScope(message, scope=scope, scheme=challenge)
