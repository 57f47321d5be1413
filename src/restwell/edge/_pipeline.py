"""The ASGI middleware: runs the hooks, the response cache, the rate limit, the concurrency limit and the deadline of
each request.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from restwell.edge._concurrency_limiter import ConcurrencyLimiter, Overloaded
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
from restwell.edge._deadline import CLIENT_CLOSED_REQUEST, Deadlines, RequestBody
from restwell.edge._problem import problem_response
from restwell.edge._rate_limit import client_key
from restwell.edge._response_cache import CacheLookup, ResponseCache
from restwell.errors import AppError, DeadlineExceeded, RequestTimeout
from restwell.rate_limits._limiter import RateLimited, RateLimiter

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""
_SAFE: Final = frozenset({"GET", "HEAD"})


class Edge:
    """An ASGI application that wraps another. ``before`` hooks run in order, ``after`` hooks in reverse.

    Responds to HEAD as to GET, without the body, and to an unhandled exception with a 500 problem. A request without a
    response after ``timeout_seconds``, or the timeout of its route, is cancelled and gets a 503 problem. It is also
    cancelled if the client disconnects.
    """

    def __init__(
        self,
        app: AsgiApp,
        hooks: Sequence[Hook],
        timeout_seconds: float,
        responses: ResponseCache | None = None,
        rate_limiter: RateLimiter | None = None,
        concurrency_limiter: ConcurrencyLimiter | None = None,
    ) -> None:
        self.app = app
        self._concurrency = concurrency_limiter if concurrency_limiter is not None else ConcurrencyLimiter()
        self._rate_limiter = rate_limiter
        self._responses = responses
        self._deadlines = Deadlines(timeout_seconds)
        all_requests = [hook for hook in hooks if not hook.app_requests_only]
        app_requests = [hook for hook in hooks if hook.app_requests_only]
        responding = [hook for hook in hooks if type(hook).on_response is not Hook.on_response]
        self._before, self._after = _before_methods(all_requests), _after_methods(all_requests)
        self._before_app, self._after_app = _before_methods(app_requests), _after_methods(app_requests)
        self._on_response = [hook.on_response for hook in responding]
        self._on_cached_response = [hook.on_response for hook in responding if not hook.cacheable_headers]
        self._on_cacheable_response = [hook.on_response for hook in responding if hook.cacheable_headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = RequestContext(scope)
        for before in self._before:
            before(context)
            if context.response is not None:
                break
        try:
            if context.response is not None:
                await self._send_response(context.response, context, send)
                return
            responses = self._responses
            lookup = responses.lookup(scope) if responses is not None and scope["method"] in _SAFE else None
            if responses is None or lookup is None:
                await self._handle_limited(context, receive, send)
                return
            rate = lookup.route.rate
            if (
                rate is not None and self._rate_limiter is not None
            ):  # other requests are counted after the guards of their route
                key = client_key(scope)
                context.rate_limit = self._rate_limiter.count_nowait(rate, key) or await self._rate_limiter.count(
                    rate, key
                )
                if not context.rate_limit.allowed:
                    await self._send_error(RateLimited(seconds=context.rate_limit.reset_seconds), context, send)
                    return
            cached = responses.get(lookup, context)
            if cached is not None:
                response = responses.render(cached, lookup, context, self._add_headers)
                await self._send_cached_response(response, context, send)
            else:
                await self._handle(context, receive, send, (responses, lookup))
        finally:
            for after in self._after:
                after(context)

    async def _handle_limited(self, context: RequestContext, receive: Receive, send: Send) -> None:
        """Acquire a slot and handle the request.

        The slot comes first, so that a rejection costs as little as possible.
        """
        scope = context.scope
        try:
            context.holds_slot = self._concurrency.acquire_nowait(scope["path"]) or await self._concurrency.acquire(
                scope
            )
        except Overloaded as error:
            await self._send_error(error, context, send)
        else:
            await self._handle(context, receive, send, None)

    async def _load_response(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application for the response cache. The requests that wait for this load hold no slots."""
        if not self._concurrency.acquire_nowait(scope["path"]):
            await self._concurrency.acquire(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            self._concurrency.release()

    async def _handle(
        self, context: RequestContext, receive: Receive, send: Send, cache: tuple[ResponseCache, CacheLookup] | None
    ) -> None:
        """Handle the request within its deadline, with the application or, if ``cache`` is given, through the response
        cache.
        """
        scope = context.scope
        scope[SCOPE_KEY] = context
        for before in self._before_app:
            before(context)
        method = scope["method"]
        respond = self._responder(context, send, without_body=method == "HEAD")
        body = RequestBody(receive, is_complete=method in _SAFE)
        self._deadlines.start(context, body)
        try:
            if cache is not None:
                responses, lookup = cache
                cached = await responses.get_or_load(lookup, context, self._load_response)
                self._response_started(context)
                response = responses.render(cached, lookup, context, self._add_headers, may_be_new=True)
                await self._send_cached_response(response, context, send)
            else:
                if method == "HEAD":
                    scope["method"] = "GET"
                await self.app(scope, body, respond)
        except asyncio.CancelledError:
            if not await _was_cancelled_by_edge(context, body, respond):
                raise
        except Exception as error:
            # An AppError comes from the response cache: overload or a timeout of the load. The application handles its
            # own.
            expected = isinstance(error, AppError) and not context.status
            if not expected:
                log.exception("unhandled_exception", path=scope["path"])
            if context.status:
                raise
            await _send_problem(error if isinstance(error, AppError) else AppError(), context.request_id, respond)
        finally:
            self._response_started(context)
            scope["method"] = method
            for after in self._after_app:
                after(context)
            del scope[SCOPE_KEY]  # breaks the reference cycle between scope and context

    def _response_started(self, context: RequestContext) -> None:
        """Stop the deadline and release the slot. Idempotent; also called if there is no response."""
        self._deadlines.stop(context)
        if context.holds_slot:
            context.holds_slot = False
            self._concurrency.release()

    async def _send_error(self, error: AppError, context: RequestContext, send: Send) -> None:
        await self._send_response(problem_response(error, context.request_id), context, send)

    async def _send_response(self, response: Response, context: RequestContext, send: Send) -> None:
        context.status, headers, body = response
        for on_response in self._on_response:
            on_response(context, headers)
        await send({"type": "http.response.start", "status": context.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if context.scope["method"] == "HEAD" else body})

    async def _send_cached_response(self, response: Response, context: RequestContext, send: Send) -> None:
        context.status, headers, body = response
        for on_response in self._on_cached_response:
            on_response(context, headers)
        await send({"type": "http.response.start", "status": context.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if context.scope["method"] == "HEAD" else body})

    def _add_headers(self, context: RequestContext, headers: Headers) -> None:
        for on_response in self._on_cacheable_response:
            on_response(context, headers)

    def _responder(self, context: RequestContext, send: Send, *, without_body: bool) -> Send:
        """The only wrapper around ``send``."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                self._response_started(context)  # the client may read slowly: neither deadline nor slot applies to that
                headers = list(message["headers"])
                for on_response in self._on_response:
                    on_response(context, headers)
                message["headers"] = headers
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        return respond


def _before_methods(hooks: Sequence[Hook]) -> list[Callable[[RequestContext], None]]:
    return [hook.before for hook in hooks if type(hook).before is not Hook.before]


def _after_methods(hooks: Sequence[Hook]) -> list[Callable[[RequestContext], None]]:
    return [hook.after for hook in reversed(hooks) if type(hook).after is not Hook.after]


async def _was_cancelled_by_edge(context: RequestContext, body: RequestBody, respond: Send) -> bool:
    """Whether the edge cancelled the request.

    If because of the timeout, send the problem; a disconnected client gets no response.
    """
    by_edge = context.status == CLIENT_CLOSED_REQUEST or (context.timed_out and not context.status)
    if not by_edge or _has_other_cancellation():
        return False
    scope = context.scope
    if context.timed_out:
        error = DeadlineExceeded() if body.is_complete else RequestTimeout()
        log.warning(error.code, path=scope["path"], route=scope.get("path_template"))
        await _send_problem(error, context.request_id, respond)
    return True


def _has_other_cancellation() -> bool:
    """Undo the cancellation of the edge. Return whether the task has another one."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0


async def _send_problem(error: AppError, request_id: str, send: Send) -> None:
    status, headers, body = problem_response(error, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
