"""A connection pool for one PostgreSQL server.

Unlike asyncpg's pool, acquire and release create no task, timer or proxy object (measured in
docs/decisions/0007-connections-and-deadlines.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg

from restwell._circuit_breaker import CircuitBreaker
from restwell.database._facade import DatabaseBusy, DatabaseUnavailable, PoolStats

Connection = Any  # asyncpg has no type hints

RESET_SECONDS: Final = 2.0
"""The time limit for resetting a connection after its statement was cancelled. Then the connection is closed."""


class Pool:
    """At most ``size`` connections, opened on demand.

    Idle connections are reused last in, first out. Waiters are served first in, first out.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, wait_seconds: float, name: str) -> None:
        self._connect = connect
        self._size = size
        self._wait_seconds = wait_seconds
        self._idle: list[Connection] = []
        self._in_use: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._opening = 0
        self._resets: set[asyncio.Task[None]] = set()
        self._closed = False
        self._waits = self._wait_timeouts = self._failures = 0
        self.statement_timeouts = 0
        self._wait_total = 0.0
        self.breaker = CircuitBreaker(name)

    def stats(self) -> PoolStats:
        return PoolStats(
            size=self._size,
            open=len(self._idle) + len(self._in_use),
            in_use=len(self._in_use),
            waiting=len(self._waiting),
            waits=self._waits,
            wait_seconds=self._wait_total,
            wait_timeouts=self._wait_timeouts,
            statement_timeouts=self.statement_timeouts,
            failures=self._failures,
            breaker_open=self.breaker.is_open,
        )

    async def acquire(self) -> Connection:
        """Acquire a connection; return it with ``release`` or ``recover``.

        Raises DatabaseBusy after ``wait_seconds`` without a free connection, DatabaseUnavailable if the pool is closed
        or the circuit breaker is open, and any error of opening a connection.
        """
        if self._closed or not self.breaker.allows():
            raise DatabaseUnavailable
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._in_use.add(connection)
                return connection
        if len(self._in_use) + self._opening < self._size:
            self._opening += 1
            return await self._open()
        return await self._wait()

    def release(self, connection: Connection) -> None:
        """Return a connection to the pool. A closed connection is removed."""
        if connection not in self._in_use:
            return  # the pool was closed in the meantime
        if connection.is_closed():
            self._in_use.discard(connection)
            self._hand_to_waiter(None)
        elif self._closed:
            self._drop(connection)
        else:
            self._reuse(connection)

    def recover(self, connection: Connection) -> None:
        """Return a connection with an abandoned statement or transaction. It is reset in the background, or closed."""
        if connection.is_closed() or self._closed or connection not in self._in_use:
            self.release(connection)
            return
        task = asyncio.create_task(self._reset(connection))
        self._resets.add(task)
        task.add_done_callback(self._resets.discard)

    def record_failure(self, *, timed_out: bool) -> None:
        """Record that the server closed or refused a connection, or that a statement ``timed_out``."""
        self._failures += 1
        self.statement_timeouts += timed_out
        self.breaker.failed()

    def drop_idle(self) -> None:
        """Close the idle connections; the next callers open new ones."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def close(self, seconds: float) -> None:
        """Close every connection. Those in use are closed when they are released, or after ``seconds``."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(DatabaseUnavailable())
        idle, self._idle = self._idle, []
        deadline = time.monotonic() + seconds
        for connection in idle:
            if seconds:
                await _end(connection, deadline - time.monotonic())
            else:
                connection.terminate()
        # Polling at shutdown is cheaper than an Event that each release would set.
        while self._in_use and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for connection in list(self._in_use):
            self._drop(connection)

    async def _open(self) -> Connection:
        """Open a connection that ``_opening`` already counts."""
        try:
            connection = await self._connect()
        except BaseException:
            self._return(None)
            raise
        self._opening -= 1
        self._in_use.add(connection)
        if self._closed:
            self._drop(connection)
            raise DatabaseUnavailable
        return connection

    async def _wait(self) -> Connection:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        self._waits += 1
        began = loop.time()
        timer = loop.call_later(self._wait_seconds, self._expire, waiter)
        try:
            connection = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._return(waiter.result())  # it was handed over at the same moment
            raise
        finally:
            timer.cancel()
            self._wait_total += loop.time() - began
        if connection is not None:
            return connection
        if self.breaker.is_open:
            self._return(None)  # wakes the next waiter, which fails too
            raise DatabaseUnavailable
        return await self._open()

    def _expire(self, waiter: "asyncio.Future[Connection | None]") -> None:
        if not waiter.done():
            self._wait_timeouts += 1
            waiter.set_exception(DatabaseBusy())

    def _return(self, connection: Connection | None) -> None:
        if connection is not None:
            self.release(connection)
        else:
            self._opening -= 1
            self._hand_to_waiter(None)

    def _reuse(self, connection: Connection) -> None:
        if not self._hand_to_waiter(connection):
            self._in_use.discard(connection)
            self._idle.append(connection)

    def _hand_to_waiter(self, connection: Connection | None) -> bool:
        """Hand the connection to the longest waiter; None permits it to open one.

        Returns whether there was a waiter.
        """
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._opening += connection is None
                waiter.set_result(connection)
                return True
        return False

    def _drop(self, connection: Connection) -> None:
        self._in_use.discard(connection)
        connection.terminate()
        self._hand_to_waiter(None)

    async def _reset(self, connection: Connection) -> None:
        try:
            # asyncpg waits for the server to acknowledge the cancellation before it sends this.
            with suppress(asyncpg.InFailedSQLTransactionError):
                await connection.execute("SELECT 1", timeout=RESET_SECONDS)
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=RESET_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if connection in self._in_use:
                self._drop(connection)
        else:
            self.release(connection)


async def _end(connection: Connection, seconds: float) -> None:
    try:
        await connection.close(timeout=max(seconds, 0.1))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
