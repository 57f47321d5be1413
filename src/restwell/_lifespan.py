"""The ASGI lifespan and WebSocket scopes of an application."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from restwell.edge._context import AsgiApp, Message, Receive, Scope, Send

log = structlog.get_logger("restwell.lifespan")

_UNSUPPORTED: Final = 1003
"""The close code of RFC 6455 7.4.1 for an endpoint that cannot accept the connection."""


class Lifespan:
    """Calls ``start`` before and ``close`` after the lifespan of the application inside, if there is one."""

    def __init__(
        self, start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]], inside: AsgiApp | None
    ) -> None:
        self._start = start
        self._close = close
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Report a failure of the start to the server, which then exits."""
        await receive()
        try:
            await self._start()
        except Exception as error:
            log.exception("startup_failed")
            await self._close_after_failure()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        if self._inside is None:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._shut_down(send)
        else:
            await self._run_inside(self._inside, scope, receive, send)

    async def _run_inside(self, inside: AsgiApp, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: an application without a lifespan raises an exception, or returns, and is started all the same."""
        has_started, has_answered, is_closed = False, False, False

        async def receive_again() -> Message:
            nonlocal has_started
            if has_started:
                return await receive()
            has_started = True
            return {"type": "lifespan.startup"}

        async def send_after_close(message: Message) -> None:
            nonlocal has_answered, is_closed
            has_answered = True
            if message["type"] == "lifespan.startup.complete":
                await send(message)
                return
            is_closed = True
            if message["type"] == "lifespan.shutdown.complete":
                await self._shut_down(send)
            else:
                await self._close_after_failure()
                await send(message)

        try:
            await inside(scope, receive_again, send_after_close)
        except Exception as error:
            if has_answered:
                if not is_closed:
                    await self._close_after_failure()
                raise
            log.warning("no_lifespan", hint="the wrapped application is not started", cause=repr(error))
        if not has_answered:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._shut_down(send)

    async def _close_after_failure(self) -> None:
        """The server must still learn of the failure: without a message it would serve the application."""
        try:
            await self._close()
        except Exception:
            log.exception("shutdown_failed")

    async def _shut_down(self, send: Send) -> None:
        try:
            await self._close()
        except Exception as error:
            log.exception("shutdown_failed")
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket: the server answers the handshake with 403."""
    await receive()
    await send({"type": "websocket.close", "code": _UNSUPPORTED})
