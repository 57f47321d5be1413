"""The ASGI middleware: admits each request through the hooks, calls the application and starts the response."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from restwell.edge._context import (
    SCOPE_KEY,
    AsgiApp,
    Headers,
    Hook,
    Message,
    Receive,
    RequestContext,
    Response,
    Scope,
    Send,
)
from restwell.edge._deadline import cancelled_by_edge
from restwell.edge._problem import problem_response
from restwell.errors import AppError

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""


class Edge:
    """An ASGI application that wraps another, with the hooks in their order.

    Responds to HEAD as to GET, without the body, to an AppError of a hook with its problem, and to an unhandled
    exception with a 500 problem.
    """

    def __init__(self, app: AsgiApp, hooks: Sequence[Hook]) -> None:
        self._app = app
        self._admit = [(number, hook.admit) for number, hook in enumerate(hooks, 1) if _has(hook, "admit")]
        passed = [hooks[:count] for count in range(len(hooks) + 1)]
        self._all = len(hooks)
        self._on_response = [[hook.on_response for hook in each if _has(hook, "on_response")] for each in passed]
        self._on_prepared_response = [
            [hook.on_response for hook in each if _has(hook, "on_response") and not hook.cacheable_headers]
            for each in passed
        ]
        self._after = [[hook.after for hook in reversed(each) if _has(hook, "after")] for each in passed]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(scope, receive)
        try:
            for position, admit in self._admit:
                context.position = position
                waiting = admit(context)
                if waiting is not None:
                    await waiting
                if context.response is not None:
                    await self._send(context.response, context, send)
                    return
            context.position = self._all
            await self._call_app(context, send)
        except asyncio.CancelledError:
            error = cancelled_by_edge(context)
            if error is None:
                raise
            if not context.status:
                await self._send(problem_response(error, context.request_id), context, send)
        except Exception as error:
            if not isinstance(error, AppError) or context.status:
                log.exception("unhandled_exception", path=scope["path"])
            if context.status:
                raise
            problem = error if isinstance(error, AppError) else AppError()
            await self._send(problem_response(problem, context.request_id), context, send)
        finally:
            for after in self._after[context.position]:
                after(context)

    async def _call_app(self, context: RequestContext, send: Send) -> None:
        scope = context.scope
        without_body = context.method == "HEAD"
        if without_body:
            scope["method"] = "GET"

        async def respond(message: Message) -> None:
            """The only wrapper around ``send``."""
            if message["type"] == "http.response.start":
                message["headers"] = self._start(context, message["status"], list(message["headers"]))
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        scope[SCOPE_KEY] = context
        try:
            await self._app(scope, context.receive, respond)
        finally:
            scope["method"] = context.method
            del scope[SCOPE_KEY]  # breaks the reference cycle between scope and context

    async def _send(self, response: Response, context: RequestContext, send: Send) -> None:
        status, headers, body = response
        headers = self._start(context, status, headers)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if context.method == "HEAD" else body})

    def _start(self, context: RequestContext, status: int, headers: Headers) -> Headers:
        context.status = status
        hooks = self._on_prepared_response if context.is_prepared else self._on_response
        for on_response in hooks[context.position]:
            on_response(context, headers)
        return headers


def _has(hook: Hook, method: str) -> bool:
    return getattr(type(hook), method) is not getattr(Hook, method)
