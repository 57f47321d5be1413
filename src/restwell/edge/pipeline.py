"""The pass itself: one wrapper around ``send``, and each concern called in turn."""

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from restwell.edge.exchange import SCOPE_KEY, AsgiApp, Concern, Exchange, Message, Receive, Scope, Send
from restwell.errors import PROBLEM_MEDIA_TYPE, AppError

log = structlog.get_logger("restwell.edge")

_EMPTY: Final = b""


class Edge:
    """An ASGI application around another; concerns see the request in order and its end in reverse. Answers HEAD as GET without the body, and a crash as a 500 problem."""

    def __init__(self, app: AsgiApp, concerns: Sequence[Concern]) -> None:
        self.app = app
        self._before = [c.before for c in concerns if type(c).before is not Concern.before]
        self._on_response = [c.on_response for c in concerns if type(c).on_response is not Concern.on_response]
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
        try:
            await self.app(scope, receive, respond)
        except Exception:
            log.exception("crash", path=scope["path"])
            if exchange.status:
                raise
            await _send_crash(exchange.request_id, respond)
        finally:
            scope["method"] = method
            for after in self._after:
                after(exchange)

    def _responder(self, exchange: Exchange, send: Send, *, without_body: bool) -> Send:
        """The one wrapper around ``send``."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = list(message["headers"])
                for on_response in self._on_response:
                    on_response(exchange, headers)
                message["headers"] = headers
            elif without_body and message["type"] == "http.response.body":
                message["body"] = _EMPTY
            await send(message)

        return respond


async def _send_crash(request_id: str, send: Send) -> None:
    body = msgspec.json.encode(AppError().problem(request_id))
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": AppError.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
