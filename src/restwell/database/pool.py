"""The connections of one process to one PostgreSQL server.

asyncpg has a pool; this one knows less and costs less: lending and giving back are plain calls, without a task, a timer or a
proxy for each (docs/decisions/0007-connections-and-deadlines.md has the measurement).
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg

from restwell.circuit_breaker import CircuitBreaker
from restwell.database.facade import DatabaseBusy, DatabaseUnavailable, PoolStats

Connection = Any  # asyncpg brings no types

RECOVERY_SECONDS: Final = 2.0
"""How long a connection may take to come to rest after its statement was given up, before it is dropped."""


class Pool:
    """At most ``size`` connections, each opened when it is first needed and lent to one borrower at a time.

    The one last given back is lent first, and those who wait are served in turn.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, wait_seconds: float, name: str) -> None:
        self._connect = connect
        self._size = size
        self._wait_seconds = wait_seconds
        self._free: list[Connection] = []
        self._lent: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._opening = 0
        self._recovering: set[asyncio.Task[None]] = set()
        self._closed = False
        self._waits = self._wait_timeouts = self._statement_timeouts = self._failures = 0
        self._waited = 0.0
        self.breaker = CircuitBreaker(name)

    def stats(self) -> PoolStats:
        """What there is to know of it now."""
        return PoolStats(
            size=self._size,
            open=len(self._free) + len(self._lent),
            in_use=len(self._lent),
            waiting=len(self._waiting),
            waits=self._waits,
            wait_seconds=self._waited,
            wait_timeouts=self._wait_timeouts,
            statement_timeouts=self._statement_timeouts,
            failures=self._failures,
            breaker_open=self.breaker.is_open,
        )

    async def acquire(self) -> Connection:
        """Borrow a connection; give it back with ``release`` or ``recover``.

        Raises DatabaseBusy when none came back within ``wait_seconds``, DatabaseUnavailable when the pool is closed or the
        server has kept failing just now, and what opening a connection raises.
        """
        if self._closed or not self.breaker.allows():
            raise DatabaseUnavailable
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
        if len(self._lent) + self._opening < self._size:
            self._opening += 1
            return await self._open()
        return await self._wait()

    def release(self, connection: Connection) -> None:
        """Give a connection back. One that was interrupted comes to rest first; one that has ended is forgotten."""
        if connection not in self._lent:
            return  # the pool was closed meanwhile
        if connection.is_closed():
            self._lent.discard(connection)
            self._pass_on(None)
        elif self._closed:
            self._drop(connection)
        else:
            self._lend_on(connection)

    def recover(self, connection: Connection) -> None:
        """Give back a connection whose statement or transaction was abandoned: end both in the background, or drop it."""
        if connection.is_closed() or self._closed or connection not in self._lent:
            self.release(connection)
            return
        task = asyncio.create_task(self._come_to_rest(connection))
        self._recovering.add(task)
        task.add_done_callback(self._recovering.discard)

    def failed(self, *, in_time: bool) -> None:
        """The server ended a connection or refused one, or, not ``in_time``, did not answer."""
        self._failures += 1
        self._statement_timeouts += not in_time
        self.breaker.failed()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses; the next borrowers open new ones."""
        free, self._free = self._free, []
        for connection in free:
            connection.terminate()

    async def close(self, seconds: float) -> None:
        """End every connection: those in use when they come back, or when ``seconds`` are over."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(DatabaseUnavailable())
        free, self._free = self._free, []
        deadline = time.monotonic() + seconds
        for connection in free:
            if seconds:
                await _end(connection, deadline - time.monotonic())
            else:
                connection.terminate()
        while self._lent and time.monotonic() < deadline:  # noqa: ASYNC110  # once, at the end; an event would cost every request
            await asyncio.sleep(0.01)
        for connection in list(self._lent):
            self._drop(connection)

    async def _open(self) -> Connection:
        """Open one; ``_opening`` already counts it."""
        try:
            connection = await self._connect()
        except BaseException:
            self._return(None)
            raise
        self._opening -= 1
        self._lent.add(connection)
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
                self._return(waiter.result())  # it came at the same moment
            raise
        finally:
            timer.cancel()
            self._waited += loop.time() - began
        if connection is not None:
            return connection
        if self.breaker.is_open:
            self._return(None)  # so that all who wait hear it now
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
            self._pass_on(None)

    def _lend_on(self, connection: Connection) -> None:
        if not self._pass_on(connection):
            self._lent.discard(connection)
            self._free.append(connection)

    def _pass_on(self, connection: Connection | None) -> bool:
        """Hand it to who has waited longest; None stands for the right to open one. Returns whether somebody waited."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._opening += connection is None
                waiter.set_result(connection)
                return True
        return False

    def _drop(self, connection: Connection) -> None:
        self._lent.discard(connection)
        connection.terminate()
        self._pass_on(None)

    async def _come_to_rest(self, connection: Connection) -> None:
        try:
            # asyncpg first waits until the server has acknowledged the cancelled statement.
            with suppress(asyncpg.InFailedSQLTransactionError):
                await connection.execute("SELECT 1", timeout=RECOVERY_SECONDS)
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=RECOVERY_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if connection in self._lent:
                self._drop(connection)
        else:
            self.release(connection)


async def _end(connection: Connection, seconds: float) -> None:
    try:
        await connection.close(timeout=max(seconds, 0.1))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
