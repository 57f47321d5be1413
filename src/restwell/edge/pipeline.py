"""The pass itself: one wrapper around ``send``, and each concern called in turn."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from restwell.edge.deadline import Deadlines
from restwell.edge.exchange import SCOPE_KEY, AsgiApp, Concern, Exchange, Headers, Message, Receive, Scope, Send
from restwell.edge.response_cache import ResponseCache, Target
from restwell.errors import PROBLEM_MEDIA_TYPE, AppError, DeadlineExceeded

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""
_SAFE: Final = frozenset({"GET", "HEAD"})
_WORK: Final = 0.96
"""The part of a request's time after which its work is ended, so that the answer still comes in time."""


class Edge:
    """An ASGI application around another; concerns see the request in order and its end in reverse.

    Answers HEAD as GET without the body, a crash as a 500 problem, and a request whose answer has not begun within
    ``timeout_seconds`` as a 503 problem; its work is then cancelled.
    """

    def __init__(
        self, app: AsgiApp, concerns: Sequence[Concern], timeout_seconds: float, responses: ResponseCache | None = None
    ) -> None:
        self.app = app
        self._responses = responses
        self._deadlines = Deadlines(timeout_seconds * _WORK)
        self._before = [c.before for c in concerns if type(c).before is not Concern.before]
        responding = [c for c in concerns if type(c).on_response is not Concern.on_response]
        self._on_response = [c.on_response for c in responding]
        self._on_kept_response = [c.on_response for c in responding if not c.constant]
        self._constant = [c.on_response for c in responding if c.constant]
        self._after = [c.after for c in reversed(concerns) if type(c).after is not Concern.after]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope)
        scope[SCOPE_KEY] = exchange
        for before in self._before:
            before(exchange)
        method = scope["method"]
        if method == "HEAD":
            scope["method"] = "GET"
        respond = self._responder(exchange, send, without_body=method == "HEAD")
        self._deadlines.start(exchange)
        try:
            responses = self._responses
            target = responses.target(scope) if responses is not None and method in _SAFE else None
            if responses is not None and target is not None:
                await self._answer_kept(responses, target, exchange, send, method)
            else:
                await self.app(scope, receive, respond)
        except asyncio.CancelledError:
            if not exchange.expired or exchange.status or _cancelled_by_another():
                raise
            log.warning("deadline_exceeded", path=scope["path"], route=scope.get("path_template"))
            await _send_problem(DeadlineExceeded(), exchange.request_id, respond)
        except Exception:
            log.exception("crash", path=scope["path"])
            if exchange.status:
                raise
            await _send_problem(AppError(), exchange.request_id, respond)
        finally:
            self._deadlines.stop(exchange)
            scope["method"] = method
            for after in self._after:
                after(exchange)

    async def _answer_kept(
        self, responses: ResponseCache, target: Target, exchange: Exchange, send: Send, method: str
    ) -> None:
        """Answer a public route: what is kept of it, if that is current."""
        exchange.scope["path_template"] = target.route.template
        answer = responses.ready(target, exchange)
        if answer is None:
            answer = await responses.answer(target, exchange, self.app)
        status, headers, body = responses.reply(answer, target, exchange, self._adorn)
        exchange.status = status
        self._deadlines.stop(exchange)
        for on_response in self._on_kept_response:
            on_response(exchange, headers)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": _EMPTY if method == "HEAD" else body})

    def _adorn(self, exchange: Exchange, headers: Headers) -> None:
        for on_response in self._constant:
            on_response(exchange, headers)

    def _responder(self, exchange: Exchange, send: Send, *, without_body: bool) -> Send:
        """The one wrapper around ``send``."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                self._deadlines.stop(exchange)  # how long the client takes to read is its own affair
                headers = list(message["headers"])
                for on_response in self._on_response:
                    on_response(exchange, headers)
                message["headers"] = headers
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        return respond


def _cancelled_by_another() -> bool:
    """Take our own cancellation back; whether there was one besides."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0


async def _send_problem(error: AppError, request_id: str, send: Send) -> None:
    body = msgspec.json.encode(error.problem(request_id))
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
