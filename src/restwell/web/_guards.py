"""Guards: authentication and authorization of routes. They run before the body is read."""

from restwell.auth import Actor
from restwell.errors import Forbidden
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
    """Allow any user with a valid access token of an active session."""
    if (await _authenticate(request)).is_machine:
        raise _insufficient(request)


class signed_in_or_scope:  # noqa: N801  # used like a guard function
    """Allow any user, and machine clients with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        actor = await _authenticate(request)
        if actor.is_machine and self.scope not in actor.scopes:
            raise _insufficient(request, self.scope)


class requires_role:  # noqa: N801  # as above
    """Allow users with this role, and machine clients with the scope ``or_scope``."""

    def __init__(self, role: str, *, or_scope: str | None = None) -> None:
        self.role = role
        self.scope = or_scope

    async def __call__(self, request: Request) -> None:
        actor = await _authenticate(request)
        if actor.is_machine:
            if self.scope not in actor.scopes:
                raise _insufficient(request, self.scope)
        elif actor.role != self.role:
            raise Forbidden


def is_kit_guard(guard: object) -> bool:
    """Whether the guard is one of this module, or a subclass: it authenticates."""
    return guard is signed_in or isinstance(guard, (requires_role, signed_in_or_scope))


def guard_name(guard: object) -> str:
    """A short description of the requirement; the name of a custom guard."""
    if guard is signed_in:
        return "signed in"
    if type(guard) is requires_role:
        return guard.role
    if type(guard) is signed_in_or_scope:
        return f"signed in or {guard.scope}"
    guard = getattr(guard, "func", guard)  # functools.partial
    return getattr(guard, "__name__", type(guard).__name__)


def _insufficient(request: Request, scope: str | None = None) -> InsufficientScope:
    scheme = request.auth
    return InsufficientScope(scope=scope, scheme=scheme.challenge if scheme is not None else "Bearer")


async def _authenticate(request: Request) -> Actor:
    scheme = request.auth
    if scheme is None:
        raise RuntimeError("the application has no authenticate=, and the route needs it")  # checked at start
    request.actor = actor = await scheme.authenticate(request)
    return actor
