"""Cancellation of requests: on timeout, and when the client disconnects."""

import asyncio
import time
from typing import Final

import structlog

from restwell.edge._context import Headers, Hook, Message, Receive, RequestContext
from restwell.errors import AppError, DeadlineExceeded, MalformedRequest, RequestTimeout

log = structlog.get_logger("restwell.edge")

TICK_SECONDS: Final = 0.1
CANCEL_AT: Final = 0.96
"""The fraction of a request's timeout after which it is cancelled, so that the response still starts within the
timeout.
"""
CLIENT_CLOSED_REQUEST: Final = 499
"""The status in the access log if the client disconnected before the response."""
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})


class RequestBody:
    """The ``receive`` callable of a request. After the body is complete, ``watch`` detects a disconnect of the client.

    Raises MalformedRequest if the client disconnects before the body is complete, or if its framing is invalid.
    """

    __slots__ = ("_arrived", "_buffered", "_receive", "_watching", "is_complete")

    def __init__(self, receive: Receive, *, is_complete: bool) -> None:
        self._receive = receive
        self.is_complete = is_complete
        self._buffered: list[Message] = []
        self._arrived: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __call__(self) -> Message:
        if self._buffered:
            return self._buffered.pop(0)
        watching = self._watching
        if watching is not None and not watching.done():
            self._arrived = asyncio.get_running_loop().create_future()
            # Raises nothing if the task is cancelled because the response has started.
            await asyncio.wait([watching, self._arrived], return_when=asyncio.FIRST_COMPLETED)
            if self._buffered:
                return self._buffered.pop(0)
            if not watching.cancelled():
                return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.is_complete:
            raise MalformedRequest("The request body could not be read completely.")
        self.is_complete = not message.get("more_body", False)
        return message

    def watch(self, request: "asyncio.Task[object]", context: RequestContext) -> None:
        """Cancel the request when its client disconnects, and set its status to CLIENT_CLOSED_REQUEST."""
        if self.is_complete and self._watching is None:
            self._watching = asyncio.create_task(self._wait_for_disconnect(request, context))

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _wait_for_disconnect(self, request: "asyncio.Task[object]", context: RequestContext) -> None:
        while (message := await self._receive())["type"] != "http.disconnect":
            self._buffered.append(message)  # the empty body of a request without a body, which has not been read yet
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)
            if message.get("more_body", False):
                return  # the request has a body
        if not context.status and not context.timed_out:
            context.status = CLIENT_CLOSED_REQUEST
            request.cancel()


class Deadlines(Hook):
    """Cancels the task of a request after ``seconds``, or the timeout of its route, and when its client disconnects.

    The deadline ends when the response starts: the client may read slowly. Everything that the request waits for is
    cancelled with it, except a COMMIT that was already sent. The precision is TICK_SECONDS: one timer serves all
    requests, because a timer per request would cost each request microseconds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[RequestContext, tuple[asyncio.Task[object], RequestBody, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, context: RequestContext) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request must run in a task")
        context.receive = body = RequestBody(context.receive, is_complete=context.method in _WITHOUT_BODY)
        route = context.route
        seconds = (route.timeout_seconds if route is not None else None) or self._seconds
        self._running[context] = task, body, seconds
        if context.trace is not None:
            context.trace.deadline = context.started_at + seconds * CANCEL_AT
        if self._timer is None:
            self._timer = task.get_loop().call_later(TICK_SECONDS, self._tick)

    def on_response(self, context: RequestContext, headers: Headers) -> None:  # noqa: ARG002  # the signature of Hook
        found = self._running.pop(context, None)
        if found is not None:
            found[1].close()
        if context.trace is not None:
            context.trace.deadline = 0.0

    def after(self, context: RequestContext) -> None:
        found = self._running.pop(context, None)
        if found is not None:
            found[1].close()

    def _tick(self) -> None:
        now = time.perf_counter()
        for context, (task, body, seconds) in list(self._running.items()):
            age = now - context.started_at
            if age > seconds * CANCEL_AT:
                self.after(context)
                if not context.status:  # a disconnect has cancelled it in this iteration of the event loop
                    context.timed_out = True
                    task.cancel()
            elif age > TICK_SECONDS:  # most requests finish before the client could disconnect
                body.watch(task, context)
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick) if self._running else None


def cancelled_by_edge(context: RequestContext) -> bool:
    """Whether the edge alone has cancelled the request. If so, its cancellation is undone."""
    by_edge = context.status == CLIENT_CLOSED_REQUEST or (context.timed_out and not context.status)
    task = asyncio.current_task()
    return by_edge and task is not None and task.uncancel() == 0


def timeout_error(context: RequestContext) -> AppError:
    """The error of a request that ``timed_out``: 408 if its body is incomplete, else 503."""
    body = context.receive
    is_incomplete = isinstance(body, RequestBody) and not body.is_complete
    error = RequestTimeout() if is_incomplete else DeadlineExceeded()
    log.warning(error.code, path=context.scope["path"], route=context.scope.get("path_template"))
    return error
