"""The time a request has until its answer begins, and the client's patience, which may end sooner."""

import asyncio
import time
from typing import Final

from restwell.edge.context import Message, Receive, RequestContext
from restwell.errors import MalformedRequest

TICK_SECONDS: Final = 0.1
WORK: Final = 0.96
"""The part of a request's time after which its work is ended, so that the answer still comes in time."""
CLIENT_CLOSED_REQUEST: Final = 499
"""What stands in the log as the status where the client did not wait for one."""


class RequestBody:
    """What the client sends. Once that is complete, somebody may watch whether the client is still there. Raises MalformedRequest where
    it ends too soon: what was sent is no body, or nobody is left who sends it.
    """

    __slots__ = ("_early", "_receive", "_watching", "is_complete")

    def __init__(self, receive: Receive, *, is_complete: bool) -> None:
        self._receive = receive
        self.is_complete = is_complete
        self._early: list[Message] = []
        self._watching: asyncio.Task[None] | None = None

    async def __call__(self) -> Message:
        if self._early:
            return self._early.pop(0)
        watching = self._watching
        if watching is not None and not watching.done():
            await asyncio.wait([watching])  # which raises nothing where it is cancelled, because the answer has begun
            if self._early:
                return self._early.pop(0)
            if not watching.cancelled():
                return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.is_complete:
            raise MalformedRequest("The body could not be read to its end.")
        self.is_complete = not message.get("more_body", False)
        return message

    def watch(self, request: "asyncio.Task[object]", context: RequestContext) -> None:
        """Cancel the request when its client hangs up, and mark it as gone."""
        if self.is_complete and self._watching is None:
            self._watching = asyncio.create_task(self._until_gone(request, context))

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _until_gone(self, request: "asyncio.Task[object]", context: RequestContext) -> None:
        while (message := await self._receive())["type"] != "http.disconnect":
            self._early.append(message)  # the empty body of a request without one, which nobody has asked for yet
            if message.get("more_body", False):
                return  # it has one after all
        if not context.status and not context.timed_out:
            context.status = CLIENT_CLOSED_REQUEST
            request.cancel()


class Deadlines:
    """Cancels the task of a request that takes longer than ``seconds``, or its own, give or take a tick, and marks it as expired; and
    that of one whose client has hung up. So whatever it waits for, a query, the cache, somebody else's answer, is given up; a commit
    that was sent is not.

    One timer looks after all requests, where some for each would cost every request some microseconds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[RequestContext, tuple[asyncio.Task[object], RequestBody]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, context: RequestContext, inbox: RequestBody) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request runs in a task")
        self._running[context] = task, inbox
        if self._timer is None:
            self._timer = task.get_loop().call_later(TICK_SECONDS, self._tick)

    def stop(self, context: RequestContext) -> None:
        found = self._running.pop(context, None)
        if found is not None:
            found[1].close()

    def _tick(self) -> None:
        now = time.perf_counter()
        for context, (task, inbox) in list(self._running.items()):
            age = now - context.started_at
            if age > (context.timeout_seconds or self._seconds) * WORK:
                self.stop(context)
                context.timed_out = True
                task.cancel()
            elif age > TICK_SECONDS:  # most have ended before anybody could hang up
                inbox.watch(task, context)
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick) if self._running else None
