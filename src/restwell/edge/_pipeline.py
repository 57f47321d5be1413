"""The ASGI middleware: admits each request through the hooks, calls the application and starts the response."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, TypeVar

import structlog

from restwell.edge._context import (
    SCOPE_KEY,
    AsgiApp,
    Hook,
    Message,
    Receive,
    RequestContext,
    Response,
    Scope,
    Send,
)
from restwell.edge._deadline import cancelled_by_edge, timeout_error
from restwell.edge._problem import error_response
from restwell.edge._route import Route
from restwell.errors import PROBLEMS, AppError, ErrorFormat

log = structlog.get_logger("restwell.edge")

H = TypeVar("H", bound=Hook)

_EMPTY: Final = b""


class Edge:
    """An ASGI application that wraps another, with the hooks in their order.

    Responds to HEAD as to GET, without the body, to an AppError of a hook in the format ``errors``, and to an unhandled
    exception with a 500. Connections of other types than HTTP pass through unchanged.
    """

    def __init__(self, app: AsgiApp, hooks: Sequence[Hook], errors: ErrorFormat = PROBLEMS) -> None:
        self.app = app
        self._errors = errors
        self.hooks = hooks
        self._admit = [(number, hook.admit) for number, hook in enumerate(hooks, 1) if _has(hook, "admit")]
        # By the number of hooks that a request has passed:
        passed = [hooks[:number] for number in range(len(hooks) + 1)]
        responding = [[hook for hook in each if _has(hook, "on_response")] for each in passed]
        self._on_response = [[hook.on_response for hook in each] for each in responding]
        self._on_prepared = [[hook.on_response for hook in each if not hook.cacheable_headers] for each in responding]
        self._after = [[hook.after for hook in reversed(each) if _has(hook, "after")] for each in passed]

    def hook(self, kind: type[H]) -> H:
        """The hook of this class. Raises LookupError if there is none."""
        for hook in self.hooks:
            if isinstance(hook, kind):
                return hook
        raise LookupError(f"the edge has no {kind.__name__}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = RequestContext(scope, receive, dict(scope["headers"]), scope["method"], time.perf_counter())
        position, response = 0, None
        try:
            try:
                for position, admit in self._admit:  # noqa: B007  # used below
                    answer = admit(context)
                    if answer is not None:
                        response = answer if isinstance(answer, tuple) else await answer
                        if response is not None:
                            break
                else:
                    position = len(self.hooks)
                    await self._call_app(context, send)
            except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # each gets a response
                response = self._failed(context, error)
            if response is not None:
                context.status, headers, body = response
                for on_response in (self._on_prepared if context.is_prepared else self._on_response)[position]:
                    on_response(context, headers)
                if context.method == "HEAD":
                    body = _EMPTY
                await send({"type": "http.response.start", "status": context.status, "headers": headers})
                context.body_bytes = len(body)
                await send({"type": "http.response.body", "body": body})
        finally:
            context.ended_at = time.perf_counter()
            for after in self._after[position]:
                after(context)

    async def _call_app(self, context: RequestContext, send: Send) -> None:
        scope = context.scope
        without_body = context.method == "HEAD"
        responding = self._on_response[-1]
        if without_body:
            scope["method"] = "GET"

        async def respond(message: Message) -> None:
            """The only wrapper around ``send``."""
            if message["type"] == "http.response.start":
                context.status = message["status"]
                headers = list(message["headers"])
                for on_response in responding:
                    on_response(context, headers)
                message["headers"] = headers
            elif message["type"] == "http.response.body":
                if without_body:
                    message["body"] = _EMPTY
                else:
                    context.body_bytes += len(message.get("body", _EMPTY))
            await send(message)

        scope[SCOPE_KEY] = context
        try:
            await self.app(scope, context.receive, respond)
        finally:
            scope["method"] = context.method
            del scope[SCOPE_KEY]  # breaks the reference cycle between scope and context

    def _failed(self, context: RequestContext, raised: BaseException) -> Response | None:
        """The response to a failed request; None if its client has disconnected.

        Raises the error again if the response has started, or if not only the edge has cancelled the request.
        """
        trace = context.start_trace()
        if trace is not None:
            trace.error = type(raised).__name__
        if isinstance(raised, AppError) and not context.status:
            error = raised
        elif isinstance(raised, asyncio.CancelledError):
            if not cancelled_by_edge(context):
                raise raised
            if not context.timed_out:
                return None
            error = timeout_error(context)
        else:
            log.error("unhandled_exception", path=context.scope["path"], exc_info=raised)
            if context.status:
                raise raised
            error = AppError()
        context.is_prepared = False
        return error_response(error, context.request_id, self._format(context.route))

    def _format(self, route: Route | None) -> ErrorFormat:
        own = route.errors if route is not None else None
        return own if own is not None else self._errors


def _has(hook: Hook, method: str) -> bool:
    return getattr(type(hook), method) is not getattr(Hook, method)
