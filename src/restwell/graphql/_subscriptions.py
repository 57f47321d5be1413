"""Subscriptions as server-sent events: those of the protocol GraphQL over SSE, one connection for each."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

from graphql import ExecutionResult, Executor, GraphQLError, create_source_event_stream, execute_subscription_event
from msgspec import Raw

from restwell.graphql._errors import EventStreamRequired, TooManySubscriptions, problem_of
from restwell.graphql._fields import Limits
from restwell.observability._trace import current
from restwell.web import Request, Stream
from restwell.web._declarations import Guard
from restwell.web._dispatch import EVENT_STREAM
from restwell.web._guarded_streams import OpenStreams, client_of, guarded

HEARTBEAT_SECONDS: Final = 15.0
"""After this time without an event a comment is sent, and the guards run: proxies close connections that are idle."""
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}  # nginx sends each event at once
_HEARTBEAT: Final = b":\n\n"
_COMPLETE: Final = b"event: complete\ndata:\n\n"

Show = Callable[[Request, ExecutionResult], bytes]


class Subscriptions:
    """The open subscriptions of this process."""

    def __init__(self, limits: Limits) -> None:
        self._open = OpenStreams(
            of_process=limits.subscriptions, of_client=limits.subscriptions_per_client, refusal=TooManySubscriptions
        )

    @property
    def count(self) -> int:
        return self._open.count

    async def open(self, request: Request, executor: Executor[Any], guards: Sequence[Guard], show: Show) -> Stream[Raw]:
        """Subscribe. ``guards`` have admitted the request, and run again before each event; ``show`` encodes it.

        Raises EventStreamRequired, TooManySubscriptions, StreamsExhausted, and what the handler raises.
        """
        if EVENT_STREAM not in request.headers.get("accept", ""):
            raise EventStreamRequired
        events = self._events(request, executor, guards, show)
        await anext(events)  # it has begun, so that it also ends, or has raised
        return Stream(open=lambda: events, media_type=EVENT_STREAM, headers=_HEADERS)

    async def _events(
        self, request: Request, executor: Executor[Any], guards: Sequence[Guard], show: Show
    ) -> AsyncGenerator[bytes, None]:
        with self._open.place(client_of(request)):
            source = await _source(request, executor)
            async with aclosing(guarded(source, request, guards, HEARTBEAT_SECONDS)) as events:
                try:
                    yield b""
                    async for items in events:
                        _forget_queries()
                        if not items:
                            yield _HEARTBEAT
                        for each in items:
                            yield _message(show(request, await _result(executor.build_per_event_executor(each))))
                except Exception as error:  # noqa: BLE001  # each is the last event
                    yield _message(show(request, ExecutionResult(None, [GraphQLError("", original_error=error)])))
            yield _COMPLETE


async def _source(request: Request, executor: Executor[Any]) -> AsyncIterator[Any]:
    """What the handler returns. Raises as it does."""
    found: Any = create_source_event_stream(executor)
    source = await found if executor.is_awaitable(found) else found
    if isinstance(source, ExecutionResult):
        errors: Any = source.errors
        raise problem_of(errors[0], request.path)
    return aiter(source)


async def _result(executor: Executor[Any]) -> ExecutionResult:
    found: Any = execute_subscription_event(executor)
    result: ExecutionResult = await found if executor.is_awaitable(found) else found
    return result


def _forget_queries() -> None:
    """Each event has the query budgets of the document for itself."""
    active = current.get()
    if active is not None and active[2] is not None:
        active[2].clear()


def _message(body: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % body
