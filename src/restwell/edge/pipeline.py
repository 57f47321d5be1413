"""The pass itself: one wrapper around ``send``, and each hook called in turn."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from restwell.edge.concurrency_limiter import ConcurrencyLimiter, Overloaded
from restwell.edge.context import (
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
from restwell.edge.deadline import CLIENT_CLOSED_REQUEST, Deadlines, RequestBody
from restwell.edge.problem import problem_response
from restwell.edge.rate_limit import client_key
from restwell.edge.response_cache import ResponseCache, Target
from restwell.errors import AppError, DeadlineExceeded, RequestTimeout
from restwell.rate_limits import RateLimited, RateLimiter

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""
_SAFE: Final = frozenset({"GET", "HEAD"})


class Edge:
    """An ASGI application around another; hooks see the request in order and its end in reverse.

    Answers HEAD as GET without the body, a crash as a 500 problem, and a request whose answer has not begun within
    ``timeout_seconds``, or its route's own, as a 503 problem; its work is then cancelled. So it is when the client hangs up.
    """

    def __init__(
        self,
        app: AsgiApp,
        hooks: Sequence[Hook],
        timeout_seconds: float,
        responses: ResponseCache | None = None,
        limits: RateLimiter | None = None,
        concurrency_limiter: ConcurrencyLimiter | None = None,
    ) -> None:
        self.app = app
        self._concurrency = concurrency_limiter if concurrency_limiter is not None else ConcurrencyLimiter()
        self._limits = limits
        self._responses = responses
        self._deadlines = Deadlines(timeout_seconds)
        outside = [hook for hook in hooks if not hook.app_requests_only]
        inside = [hook for hook in hooks if hook.app_requests_only]
        responding = [c for c in hooks if type(c).on_response is not Hook.on_response]
        self._before, self._after = _befores(outside), _afters(outside)
        self._before_inside, self._after_inside = _befores(inside), _afters(inside)
        self._on_response = [c.on_response for c in responding]
        self._on_kept_response = [c.on_response for c in responding if not c.cacheable_headers]
        self._constant = [c.on_response for c in responding if c.cacheable_headers]

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
                await self._send_now(context.response, context, send)
                return
            responses = self._responses
            target = responses.target(scope) if responses is not None and scope["method"] in _SAFE else None
            if responses is None or target is None:
                await self._enter(context, receive, send)
                return
            rate = target.route.rate
            if rate is not None and self._limits is not None:  # any other request is counted by the guards of its route
                key = client_key(scope)
                context.rate_limit = self._limits.count_nowait(rate, key) or await self._limits.count(rate, key)
                if not context.rate_limit.allowed:
                    await self._refuse(RateLimited(seconds=context.rate_limit.reset_seconds), context, send)
                    return
            answer = responses.ready(target, context)
            if answer is not None:
                await self._send_kept(responses.reply(answer, target, context, self._adorn), context, send)
            else:
                await self._answer(context, receive, send, (responses, target))
        finally:
            for after in self._after:
                after(context)

    async def _enter(self, context: RequestContext, receive: Receive, send: Send) -> None:
        """Have the application answer, if there is room; before anything else is made, for a refusal must cost next to nothing."""
        scope = context.scope
        try:
            context.holds_slot = self._concurrency.acquire_nowait(scope["path"]) or await self._concurrency.acquire(
                scope
            )
        except Overloaded as error:
            await self._refuse(error, context, send)
        else:
            await self._answer(context, receive, send, None)

    async def _answer_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer for everyone who asks for the same: they wait without taking room, this takes it for all."""
        if not self._concurrency.acquire_nowait(scope["path"]):
            await self._concurrency.acquire(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            self._concurrency.release()

    async def _answer(
        self, context: RequestContext, receive: Receive, send: Send, for_all: tuple[ResponseCache, Target] | None
    ) -> None:
        """Have the application answer, in its time; this request alone, or everyone who asks for the target."""
        scope = context.scope
        scope[SCOPE_KEY] = context
        for before in self._before_inside:
            before(context)
        method = scope["method"]
        respond = self._responder(context, send, without_body=method == "HEAD")
        inbox = RequestBody(receive, is_complete=method in _SAFE)
        self._deadlines.start(context, inbox)
        try:
            if for_all is not None:
                responses, target = for_all
                answer = await responses.answer(target, context, self._answer_all)
                self._end(context)
                await self._send_kept(responses.reply(answer, target, context, self._adorn, new=True), context, send)
            else:
                if method == "HEAD":
                    scope["method"] = "GET"
                await self.app(scope, inbox, respond)
        except asyncio.CancelledError:
            if not await _was_given_up(context, inbox, respond):
                raise
        except Exception as error:
            # For all of those who wait for it there was no room, or no time; other AppErrors the application has answered itself.
            expected = isinstance(error, AppError) and not context.status
            if not expected:
                log.exception("unhandled_exception", path=scope["path"])
            if context.status:
                raise
            await _send_problem(error if isinstance(error, AppError) else AppError(), context.request_id, respond)
        finally:
            self._end(context)
            scope["method"] = method
            for after in self._after_inside:
                after(context)
            del scope[SCOPE_KEY]  # each holds the other, and only the garbage collector would part them

    def _end(self, context: RequestContext) -> None:
        """Its answer has begun, or there is none."""
        self._deadlines.stop(context)
        if context.holds_slot:
            context.holds_slot = False
            self._concurrency.release()

    async def _refuse(self, error: AppError, context: RequestContext, send: Send) -> None:
        await self._send_now(problem_response(error, context.request_id), context, send)

    async def _send_now(self, reply: Response, context: RequestContext, send: Send) -> None:
        context.status, headers, body = reply
        for on_response in self._on_response:
            on_response(context, headers)
        await send({"type": "http.response.start", "status": context.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if context.scope["method"] == "HEAD" else body})

    async def _send_kept(self, reply: Response, context: RequestContext, send: Send) -> None:
        context.status, headers, body = reply
        for on_response in self._on_kept_response:
            on_response(context, headers)
        await send({"type": "http.response.start", "status": context.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if context.scope["method"] == "HEAD" else body})

    def _adorn(self, context: RequestContext, headers: Headers) -> None:
        for on_response in self._constant:
            on_response(context, headers)

    def _responder(self, context: RequestContext, send: Send, *, without_body: bool) -> Send:
        """The one wrapper around ``send``."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                self._end(context)  # how long the client takes to read is its own affair
                headers = list(message["headers"])
                for on_response in self._on_response:
                    on_response(context, headers)
                message["headers"] = headers
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        return respond


def _befores(hooks: Sequence[Hook]) -> list[Callable[[RequestContext], None]]:
    return [hook.before for hook in hooks if type(hook).before is not Hook.before]


def _afters(hooks: Sequence[Hook]) -> list[Callable[[RequestContext], None]]:
    return [hook.after for hook in reversed(hooks) if type(hook).after is not Hook.after]


async def _was_given_up(context: RequestContext, inbox: RequestBody, respond: Send) -> bool:
    """Whether it was we who cancelled: its time is over, which is answered, or its client has gone."""
    is_ours = context.status == CLIENT_CLOSED_REQUEST or (context.timed_out and not context.status)
    if not is_ours or _cancelled_by_another():
        return False
    scope = context.scope
    if context.timed_out:
        error = DeadlineExceeded() if inbox.is_complete else RequestTimeout()
        log.warning(error.code, path=scope["path"], route=scope.get("path_template"))
        await _send_problem(error, context.request_id, respond)
    return True


def _cancelled_by_another() -> bool:
    """Take our own cancellation back; whether there was one besides."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0


async def _send_problem(error: AppError, request_id: str, send: Send) -> None:
    status, headers, body = problem_response(error, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
