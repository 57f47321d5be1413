"""The pass itself: one wrapper around ``send``, and each concern called in turn."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from restwell.edge.deadline import GONE, Deadlines, Inbox
from restwell.edge.exchange import SCOPE_KEY, AsgiApp, Concern, Exchange, Headers, Message, Receive, Reply, Scope, Send
from restwell.edge.overload import Overload, Overloaded
from restwell.edge.problem import problem_reply
from restwell.edge.rate_limit import whose
from restwell.edge.response_cache import ResponseCache, Target
from restwell.errors import AppError, DeadlineExceeded, RequestTimeout
from restwell.limits import RateLimited, RateLimiter

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""
_SAFE: Final = frozenset({"GET", "HEAD"})


class Edge:
    """An ASGI application around another; concerns see the request in order and its end in reverse.

    Answers HEAD as GET without the body, a crash as a 500 problem, and a request whose answer has not begun within
    ``timeout_seconds``, or its route's own, as a 503 problem; its work is then cancelled. So it is when the client hangs up.
    """

    def __init__(
        self,
        app: AsgiApp,
        concerns: Sequence[Concern],
        timeout_seconds: float,
        responses: ResponseCache | None = None,
        limits: RateLimiter | None = None,
        overload: Overload | None = None,
    ) -> None:
        self.app = app
        self._overload = overload if overload is not None else Overload()
        self._limits = limits
        self._responses = responses
        self._deadlines = Deadlines(timeout_seconds)
        outside = [concern for concern in concerns if not concern.inside]
        inside = [concern for concern in concerns if concern.inside]
        responding = [c for c in concerns if type(c).on_response is not Concern.on_response]
        self._before, self._after = _befores(outside), _afters(outside)
        self._before_inside, self._after_inside = _befores(inside), _afters(inside)
        self._on_response = [c.on_response for c in responding]
        self._on_kept_response = [c.on_response for c in responding if not c.constant]
        self._constant = [c.on_response for c in responding if c.constant]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope)
        for before in self._before:
            before(exchange)
            if exchange.answer is not None:
                break
        try:
            if exchange.answer is not None:
                await self._send_now(exchange.answer, exchange, send)
                return
            responses = self._responses
            target = responses.target(scope) if responses is not None and scope["method"] in _SAFE else None
            if responses is None or target is None:
                await self._enter(exchange, receive, send)
                return
            rate = target.route.rate
            if rate is not None and self._limits is not None:  # any other request is counted by the guards of its route
                who = whose(scope)
                exchange.allowance = self._limits.count_now(rate, who) or await self._limits.count(rate, who)
                if not exchange.allowance.admitted:
                    await self._refuse(RateLimited(seconds=exchange.allowance.seconds), exchange, send)
                    return
            answer = responses.ready(target, exchange)
            if answer is not None:
                await self._send_kept(responses.reply(answer, target, exchange, self._adorn), exchange, send)
            else:
                await self._answer(exchange, receive, send, (responses, target))
        finally:
            for after in self._after:
                after(exchange)

    async def _enter(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Have the application answer, if there is room; before anything else is made, for a refusal must cost next to nothing."""
        scope = exchange.scope
        try:
            exchange.running = self._overload.enter_now(scope["path"]) or await self._overload.enter(scope)
        except Overloaded as error:
            await self._refuse(error, exchange, send)
        else:
            await self._answer(exchange, receive, send, None)

    async def _answer_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer for everyone who asks for the same: they wait without taking room, this takes it for all."""
        if not self._overload.enter_now(scope["path"]):
            await self._overload.enter(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            self._overload.leave()

    async def _answer(
        self, exchange: Exchange, receive: Receive, send: Send, for_all: tuple[ResponseCache, Target] | None
    ) -> None:
        """Have the application answer, in its time; this request alone, or everyone who asks for the target."""
        scope = exchange.scope
        scope[SCOPE_KEY] = exchange
        for before in self._before_inside:
            before(exchange)
        method = scope["method"]
        respond = self._responder(exchange, send, without_body=method == "HEAD")
        inbox = Inbox(receive, is_complete=method in _SAFE)
        self._deadlines.start(exchange, inbox)
        try:
            if for_all is not None:
                responses, target = for_all
                answer = await responses.answer(target, exchange, self._answer_all)
                self._end(exchange)
                await self._send_kept(responses.reply(answer, target, exchange, self._adorn, new=True), exchange, send)
            else:
                if method == "HEAD":
                    scope["method"] = "GET"
                await self.app(scope, inbox, respond)
        except asyncio.CancelledError:
            if not await _was_given_up(exchange, inbox, respond):
                raise
        except Exception as error:
            # For all of those who wait for it there was no room, or no time; other AppErrors the application has answered itself.
            expected = isinstance(error, AppError) and not exchange.status
            if not expected:
                log.exception("unhandled_exception", path=scope["path"])
            if exchange.status:
                raise
            await _send_problem(error if isinstance(error, AppError) else AppError(), exchange.request_id, respond)
        finally:
            self._end(exchange)
            scope["method"] = method
            for after in self._after_inside:
                after(exchange)
            del scope[SCOPE_KEY]  # each holds the other, and only the garbage collector would part them

    def _end(self, exchange: Exchange) -> None:
        """Its answer has begun, or there is none."""
        self._deadlines.stop(exchange)
        if exchange.running:
            exchange.running = False
            self._overload.leave()

    async def _refuse(self, error: AppError, exchange: Exchange, send: Send) -> None:
        await self._send_now(problem_reply(error, exchange.request_id), exchange, send)

    async def _send_now(self, reply: Reply, exchange: Exchange, send: Send) -> None:
        exchange.status, headers, body = reply
        for on_response in self._on_response:
            on_response(exchange, headers)
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if exchange.scope["method"] == "HEAD" else body})

    async def _send_kept(self, reply: Reply, exchange: Exchange, send: Send) -> None:
        exchange.status, headers, body = reply
        for on_response in self._on_kept_response:
            on_response(exchange, headers)
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if exchange.scope["method"] == "HEAD" else body})

    def _adorn(self, exchange: Exchange, headers: Headers) -> None:
        for on_response in self._constant:
            on_response(exchange, headers)

    def _responder(self, exchange: Exchange, send: Send, *, without_body: bool) -> Send:
        """The one wrapper around ``send``."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                self._end(exchange)  # how long the client takes to read is its own affair
                headers = list(message["headers"])
                for on_response in self._on_response:
                    on_response(exchange, headers)
                message["headers"] = headers
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        return respond


def _befores(concerns: Sequence[Concern]) -> list[Callable[[Exchange], None]]:
    return [concern.before for concern in concerns if type(concern).before is not Concern.before]


def _afters(concerns: Sequence[Concern]) -> list[Callable[[Exchange], None]]:
    return [concern.after for concern in reversed(concerns) if type(concern).after is not Concern.after]


async def _was_given_up(exchange: Exchange, inbox: Inbox, respond: Send) -> bool:
    """Whether it was we who cancelled: its time is over, which is answered, or its client has gone."""
    is_ours = exchange.status == GONE or (exchange.expired and not exchange.status)
    if not is_ours or _cancelled_by_another():
        return False
    scope = exchange.scope
    if exchange.expired:
        error = DeadlineExceeded() if inbox.is_complete else RequestTimeout()
        log.warning(error.code, path=scope["path"], route=scope.get("path_template"))
        await _send_problem(error, exchange.request_id, respond)
    return True


def _cancelled_by_another() -> bool:
    """Take our own cancellation back; whether there was one besides."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0


async def _send_problem(error: AppError, request_id: str, send: Send) -> None:
    status, headers, body = problem_reply(error, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
