"""The interface of every database backend: named queries, transactions, and the errors that both raise."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, Final, Self, TypeVar

import structlog
from msgspec import Struct

from restwell.database._batching import ReadBatcher
from restwell.database._instrumentation import track_execution
from restwell.database._query import Compiled, Query
from restwell.errors import ServiceUnavailable

T = TypeVar("T")

log = structlog.get_logger("restwell.database")

_WRITES: Final = ("INSERT", "UPDATE", "DELETE")

MAX_ATTEMPTS: Final = 3
RETRY_BASE_SECONDS: Final = 0.02
MAX_BATCH: Final = 8
"""Most deferred statements that are sent as one. Each combination needs its own prepared statement."""


class DatabaseUnavailable(ServiceUnavailable):
    """The server cannot be reached, refuses connections or has no disk space: 503."""

    code, message = "database_unavailable", "The database is unreachable right now. Try again shortly."


class DatabaseBusy(ServiceUnavailable):
    """No connection or lock was free within its timeout: 503, and nothing was written."""

    code, message = "database_busy", "The database is too busy right now. Nothing was changed. Try again shortly."


class TransactionConflict(DatabaseBusy):
    """A deadlock or a serialization failure. ``in_transaction`` retries it."""

    code = "transaction_conflict"
    message = "Another transaction changed the same data at the same time. Nothing was changed. Try again shortly."


class MigrationInProgress(Exception):
    """Another process held the migration lock for longer than this one waits."""


class UniqueViolation(Exception):
    """A row with this key exists.

    ``constraint`` is the name of the index; on SQLite the columns, as ``table.column``.
    """

    def __init__(self, constraint: str) -> None:
        self.constraint = constraint
        super().__init__(constraint)


class RowNotFound(LookupError):
    """``one`` found no row. This is a programming error, not an expected result."""


class PoolStats(Struct, frozen=True):
    """The state of a connection pool, and its counters since the start.

    ``wait_seconds`` is the total wait for a connection.
    """

    size: int
    open: int
    in_use: int
    waiting: int
    waits: int
    wait_seconds: float
    wait_timeouts: int
    statement_timeouts: int
    failures: int
    breaker_open: bool


class Executor(ABC):
    """Runs named queries. A Database runs each in its own transaction; a Transaction runs all of them in one."""

    dialect: ClassVar[str]

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        """The first row, or None."""
        rows = await self._rows(query, arguments)
        return rows[0] if rows else None

    async def one(self, query: Query[T], **arguments: Any) -> T:
        """The first row. Raises RowNotFound if there is none."""
        rows = await self._rows(query, arguments)
        if not rows:
            raise RowNotFound(query.name)
        return rows[0]

    async def all(self, query: Query[T], **arguments: Any) -> list[T]:
        """Every row. The query must contain the LIMIT."""
        return await self._rows(query, arguments)

    async def run(self, query: Query[Any], **arguments: Any) -> int:
        """Execute a write. Returns the number of affected rows."""
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with track_execution(query.name):
            return await self._execute(compiled, parameters)

    async def run_many(self, query: Query[Any], rows: Sequence[dict[str, Any]]) -> None:
        """Execute a write once for each mapping of arguments, in one round trip if the driver supports it."""
        compiled = query.compiled[self.dialect]
        parameters = [compiled.bind(row) for row in rows]
        with track_execution(query.name):
            await self._execute_many(compiled, parameters)

    async def _rows(self, query: Query[T], arguments: dict[str, Any]) -> list[T]:
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with track_execution(query.name):
            rows = await self._fetch(compiled, parameters)
        return list(map(compiled.decode, rows))

    @abstractmethod
    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]: ...

    @abstractmethod
    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int: ...

    @abstractmethod
    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None: ...


class TransactionHook(ABC):
    """Callbacks of a transaction, such as cache invalidation.

    ``rolled_back`` and ``outcome_unknown`` must not block; they start a task for anything that takes time.
    """

    @abstractmethod
    async def before_commit(self, tx: "Transaction") -> None:
        """Called after the last statement. An exception rolls the transaction back."""

    @abstractmethod
    async def committed(self) -> None:
        """Called when the commit is durable. The caller continues when this returns."""

    @abstractmethod
    def rolled_back(self) -> None:
        """Called when nothing was changed."""

    @abstractmethod
    def outcome_unknown(self) -> None:
        """Called when COMMIT was sent and no response arrived: the commit may have happened, or may still happen."""


class Transaction(Executor):
    """An atomic group of queries. ``hooks`` are called when it ends."""

    def __init__(self) -> None:
        self.hooks: list[TransactionHook] = []
        self._deferred: list[tuple[Query[Any], tuple[Any, ...]]] = []
        self._flush_failed = False

    def defer(self, query: Query[Any], **arguments: Any) -> None:
        """Queue a write. It is sent with the next statement of this transaction, or before its commit.

        Up to MAX_BATCH queued writes are one round trip; of more, each query is one. Writes of one batch do not see
        each other's changes, so they must not touch the same rows. An error is raised by the statement that sends the
        batch, or at the end of the block. Raises TypeError unless the query is an INSERT, UPDATE or DELETE.
        """
        compiled = query.compiled[self.dialect]
        if not compiled.sql.startswith(_WRITES):
            raise TypeError(f"query {query.name} cannot be deferred: it is not an INSERT, UPDATE or DELETE")
        self._deferred.append((query, compiled.bind(arguments)))

    async def flush(self) -> None:
        """Send the queued writes.

        Raises RuntimeError if an earlier batch failed: the transaction must not commit without it.
        """
        if self._flush_failed:
            raise RuntimeError("nothing was saved: a deferred statement failed, and its error was suppressed")
        deferred, self._deferred = self._deferred, []
        self._flush_failed = bool(deferred)
        await self._execute_all(deferred)
        self._flush_failed = False

    async def _execute_all(self, deferred: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        if 0 < len(deferred) <= MAX_BATCH:
            with track_execution("+".join(dict.fromkeys(query.name for query, _ in deferred))):
                await self._execute_batch(deferred)
            return
        for query, group in groupby(deferred, key=itemgetter(0)):
            with track_execution(query.name):
                await self._execute_many(query.compiled[self.dialect], [parameters for _, parameters in group])

    @abstractmethod
    async def _execute_batch(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None: ...

    @abstractmethod
    async def run_script(self, statement: str) -> None:
        """Execute a raw SQL statement without parameters. For migrations."""


class Database(Executor):
    """A database opened by URL. ``start`` connects, ``close`` closes every connection; both are idempotent.

    ``async with`` calls both.
    """

    def __init__(self) -> None:
        self._batcher = ReadBatcher(self.dialect, self._fetch)

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        if query.batched:
            row: T | None = await self._batcher.find(query, arguments)
            return row
        return await super().find(query, **arguments)

    async def one(self, query: Query[T], **arguments: Any) -> T:
        if query.batched:
            row = await self.find(query, **arguments)
            if row is None:
                raise RowNotFound(query.name)
            return row
        return await super().one(query, **arguments)

    def pool_stats(self) -> dict[str, PoolStats]:
        """The statistics of each connection pool, by the name of its server."""
        return {}

    @property
    def primary(self) -> "Database":
        """The database for reads that must see every acknowledged write.

        Without replicas this is the database itself.
        """
        return self

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def start(self) -> None:
        """Connect. Raises DatabaseUnavailable with the reason."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def connection_limit(self) -> int | None:
        """The number of connections that the server allows non-superusers, or None if there is no limit."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a write transaction. The end of the block commits; an exception or cancellation rolls back.

        The commit is durable when the block is left. Raises DatabaseBusy on a lock timeout.
        """
        hooks: list[TransactionHook] = []
        commit_sent = False
        try:
            async with self._transaction() as tx:
                hooks = tx.hooks
                yield tx
                for hook in hooks:
                    await hook.before_commit(tx)
                await tx.flush()
                commit_sent = True
        except BaseException:
            for hook in hooks:
                (hook.outcome_unknown if commit_sent else hook.rolled_back)()
            raise
        for hook in hooks:
            await hook.committed()

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """The backend's implementation of ``transaction``, without hooks."""

    async def in_transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction and return its result after the commit.

        On a serialization failure or deadlock (SQLSTATE 40001 or 40P01) the whole transaction is retried, up to
        MAX_ATTEMPTS times in all, with exponential backoff and full jitter. So ``work`` must have no other side
        effects.
        """
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except TransactionConflict as error:
                log.warning("transaction_retried", attempt=attempt, cause=repr(error.__cause__))
            await asyncio.sleep(random.uniform(0, RETRY_BASE_SECONDS * 2**attempt))  # noqa: S311  # not a secret
        async with self.transaction() as tx:
            return await work(tx)

    @abstractmethod
    def migration(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that holds the migration lock and has no statement timeout.

        ``run_script("COMMIT")`` and ``run_script("BEGIN")`` leave and enter it, for statements that cannot run in a
        transaction.
        """
