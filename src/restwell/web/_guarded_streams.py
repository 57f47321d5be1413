"""Streams of GraphQL and gRPC, which may last for hours: how many are open, and guards that run again meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final, TypeVar

from restwell.edge._rate_limit import client_key
from restwell.errors import AppError, ServiceUnavailable
from restwell.observability._trace import current
from restwell.web._declarations import Guard
from restwell.web._request import Request

T = TypeVar("T")

_END: Final = object()


class StreamsExhausted(ServiceUnavailable):
    """The process has as many open streams as it may."""

    code, message = "streams_exhausted", "The server has too many open streams. Try again shortly."


class OpenStreams:
    """The open streams of a protocol in this process. ``refusal``: for a client that has ``of_client``."""

    def __init__(self, *, of_process: int, of_client: int, refusal: type[AppError]) -> None:
        self._of_process = of_process
        self._of_client = of_client
        self._refusal = refusal
        self._open: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return self._open.total()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Count a stream as open. Raises the refusal, or StreamsExhausted."""
        if self._open[client] >= self._of_client:
            raise self._refusal
        if self.count >= self._of_process:
            raise StreamsExhausted
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def client_of(request: Request) -> str:
    """The user of the request, or its network without one."""
    user = request.context.user_id
    return str(user) if user is not None else client_key(request.scope)


async def guarded(
    source: AsyncIterator[T], request: Request, guards: Sequence[Guard], seconds: float
) -> AsyncGenerator[tuple[T, ...], None]:
    """The items of ``source``, one by one, and () after each ``seconds`` without one. The guards run again before each.

    Raises what they and the source raise, and closes the source.
    """
    steps = copy_context()
    steps.run(current.set, None)  # a source may repeat its reads: they are no N+1, and no part of the trace
    step: asyncio.Task[Any] = asyncio.create_task(_next(source), context=steps)
    try:
        while True:
            await asyncio.wait({step}, timeout=seconds)
            for guard in guards:
                await guard(request)
            if not step.done():
                yield ()
                continue
            item = step.result()
            if item is _END:
                return
            yield (item,)
            step = asyncio.create_task(_next(source), context=steps)
    finally:
        step.cancel()
        await asyncio.wait({step})
        if not step.cancelled():
            step.exception()  # a guard may have been faster
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _next(source: AsyncIterator[Any]) -> Any:
    return await anext(source, _END)
