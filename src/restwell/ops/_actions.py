"""Actions: forms of a page that change something. Each is checked, recorded in the audit log, and then carried out."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import Parameter
from typing import Any, Final

import structlog
from msgspec import Struct
from msgspec.structs import asdict

from restwell.auth import Actor
from restwell.ops._forms import FormTokens
from restwell.ops._layout import described, message_cookie
from restwell.web import Request, Response, post, redirect

log = structlog.get_logger("restwell.ops")

_MAX_DETAIL: Final = 500


class Done(Struct, frozen=True):
    """The result of an action: what the next page says, and its path."""

    message: str
    location: str


class ActionLog(ABC):
    """Records an action before it is carried out."""

    @abstractmethod
    async def record(self, actor: Actor, request: Request, detail: str) -> None: ...


class LogEvents(ActionLog):
    """The action log of an application without accounts: its log."""

    async def record(self, actor: Actor, request: Request, detail: str) -> None:
        log.info("ops_action", actor=str(actor.id), action=detail, ip_address=request.client_address)


class Actions:
    """Checks and records actions."""

    def __init__(self, tokens: FormTokens, action_log: ActionLog) -> None:
        self._tokens = tokens
        self._log = action_log

    async def admit(self, request: Request, actor: Actor, name: str, values: dict[str, Any]) -> None:
        """Raises StaleForm, CrossSiteRequest."""
        await self._tokens.check(request)
        flat: dict[str, object] = {}
        for key, value in values.items():
            if isinstance(value, Struct):
                flat |= asdict(value)
            elif isinstance(value, str | int | float) or hasattr(value, "hex"):
                flat[key] = value
        await self._log.record(actor, request, f"{name} {described(flat)}".strip()[:_MAX_DETAIL])


_ADDED: Final = {"request": Request, "actor": Actor, "actions": Actions}


def action(
    path: str = "", **options: Any
) -> Callable[[Callable[..., Awaitable[Done]]], Callable[..., Awaitable[Response[None]]]]:
    """Declares an action: ``POST``, with the form as the parameter ``form``. Its handler returns Done.

    Before the handler is called, the form is checked and a line is written to the audit log: the name of the handler,
    its path parameters and its form.
    """

    def declare(handler: Callable[..., Awaitable[Done]]) -> Callable[..., Awaitable[Response[None]]]:
        signature = inspect.signature(handler)
        added = {name: kind for name, kind in _ADDED.items() if name not in signature.parameters}

        @wraps(handler)
        async def run(self: object, request: Request, actor: Actor, actions: Actions, **values: Any) -> Response[None]:
            await actions.admit(request, actor, handler.__name__, values)
            passed: dict[str, Any] = {"request": request, "actor": actor, "actions": actions}
            own = {name: value for name, value in passed.items() if name not in added}
            done = await handler(self, **values, **own)
            return redirect(done.location, message_cookie(done.message))

        parameters = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in added.items()]
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect.signature reads
            parameters=[*signature.parameters.values(), *parameters], return_annotation=Response[None]
        )
        run.__annotations__ = {**handler.__annotations__, **added, "return": Response[None]}
        return post(path, include_in_schema=False, status_code=303, **options)(run)

    return declare
