"""The interface of every database backend: named queries, transactions, and the errors that both raise."""

import asyncio
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Self, TypeVar

import structlog
from msgspec import Struct

from restwell.database._ambient import ambient, current
from restwell.database._batching import ReadBatcher
from restwell.database._query import Compiled, Query
from restwell.database._transaction import Executor, RowNotFound, Transaction, TransactionHook
from restwell.errors import ServiceUnavailable

T = TypeVar("T")

log = structlog.get_logger("restwell.database")

MAX_ATTEMPTS: Final = 3
RETRY_BASE_SECONDS: Final = 0.02


class DatabaseUnavailable(ServiceUnavailable):
    """The server cannot be reached, refuses connections or has no disk space: 503."""

    code, message = "database_unavailable", "The database is unreachable right now. Try again shortly."


MIGRATE_HINT: Final = "run restwell migrate; a table of the application needs a migration that creates it"
"""A note on the error of a missing table."""


def not_started() -> DatabaseUnavailable:
    return DatabaseUnavailable("The database is not open: use it inside `async with database`, or in a started kit.")


class DatabaseBusy(ServiceUnavailable):
    """No connection or lock was free within its timeout: 503, and nothing was written."""

    code, message = "database_busy", "The database is too busy right now. Nothing was changed. Try again shortly."


class TransactionConflict(DatabaseBusy):
    """A deadlock or a serialization failure. ``in_transaction`` retries it."""

    code = "transaction_conflict"
    message = "Another transaction changed the same data at the same time. Nothing was changed. Try again shortly."


class MigrationInProgress(Exception):
    """Another process held the migration lock for longer than this one waits."""


class _ConstraintViolation(Exception):
    def __init__(self, constraint: str) -> None:
        self.constraint = constraint
        super().__init__(constraint)


class UniqueViolation(_ConstraintViolation):
    """A row with this key exists.

    ``constraint`` is the name of the index; on SQLite the columns, as ``table.column``.
    """


class ForeignKeyViolation(_ConstraintViolation):
    """The row that a foreign key refers to does not exist, or a row still refers to this one.

    ``constraint`` is the name of the foreign key; on SQLite it is empty.
    """


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


class Database(Executor):
    """A database opened by URL. ``start`` connects, ``close`` closes every connection; both are idempotent.

    ``async with`` calls both.
    """

    def __init__(self) -> None:
        self._batcher = ReadBatcher(self.dialect, self._fetch, self._fetch_each)
        self.ambient_owner: Database = self
        """The database whose ambient transaction is joined; of the primary of replicas, the one that routes to it."""

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        if query.batch_on and self._executor() is self:
            row: T | None = await self._batcher.find(query, arguments)
            return row
        return await super().find(query, **arguments)

    async def one(self, query: Query[T], **arguments: Any) -> T:
        if query.batch_on:
            row = await self.find(query, **arguments)
            if row is None:
                raise RowNotFound(query.name)
            return row
        return await super().one(query, **arguments)

    async def all(self, query: Query[T], **arguments: Any) -> list[T]:
        if query.group_by is not None and self._executor() is self:
            return await self._batcher.all(query, arguments)
        return await super().all(query, **arguments)

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

    async def _fetch_each(
        self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]
    ) -> Sequence[Sequence[Sequence[Any]]]:
        """Read a statement with each of the parameters: of a backend that has no statement for several lists."""
        raise NotImplementedError  # pragma: no cover  # PostgreSQL has one

    @abstractmethod
    async def start(self) -> None:
        """Connect. Raises DatabaseUnavailable with the reason."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def connection_limit(self) -> int | None:
        """The number of connections that the server allows non-superusers, or None if there is no limit."""

    @property
    def current_transaction(self) -> Transaction | None:
        """The ambient transaction of this task, or None."""
        found = current.get()
        return None if found is None else found.of(self.ambient_owner)

    def transaction(self, *, ambient: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Begin a write transaction. The end of the block commits; an exception or cancellation rolls back.

        The commit is durable when the block is left. Raises DatabaseBusy on a lock timeout.

        With ``ambient``, the queries and transactions of this database inside the block join it, also those of tasks
        that are started there: they run one after the other, see its writes and commit with it. After an exception in
        a joined transaction or statement nothing is saved, even if it is suppressed. Await the tasks in the block.
        """
        found = current.get()
        joined = None if found is None else found.of(self.ambient_owner)
        if joined is not None:
            return joined.join()
        return self._begin_ambient() if ambient else self._begin()

    @asynccontextmanager
    async def _begin_ambient(self) -> AsyncIterator[Transaction]:
        async with self._begin() as tx, ambient(tx, self.ambient_owner) as shared:
            yield shared

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Transaction]:
        hooks: list[TransactionHook] = []
        commit_sent = False
        begun: Transaction | None = None
        try:
            async with self._transaction() as tx:
                begun, hooks = tx, tx.hooks
                yield tx
                for hook in hooks:
                    await hook.before_commit(tx)
                await tx.flush()
                commit_sent = True
        except BaseException:
            for hook in hooks:
                (hook.outcome_unknown if commit_sent else hook.rolled_back)()
            raise
        finally:
            if begun is not None:
                begun._end()  # noqa: SLF001  # same package
        for hook in hooks:
            await hook.committed()

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """The backend's implementation of ``transaction``, without hooks."""

    async def in_transaction(self, work: Callable[[Transaction], Awaitable[T]], *, ambient: bool = False) -> T:
        """Run ``work`` in a transaction and return its result after the commit. ``ambient`` as in ``transaction``.

        On a serialization failure or deadlock (SQLSTATE 40001 or 40P01) the whole transaction is retried, up to
        MAX_ATTEMPTS times in all, with exponential backoff and full jitter. So ``work`` must have no other side
        effects. Inside an ambient transaction, that one is retried.
        """
        attempts = MAX_ATTEMPTS if self._executor() is self else 1
        for attempt in range(1, attempts):
            try:
                async with self.transaction(ambient=ambient) as tx:
                    return await work(tx)
            except TransactionConflict as error:
                log.warning("transaction_retried", attempt=attempt, cause=repr(error.__cause__))
            await asyncio.sleep(random.uniform(0, RETRY_BASE_SECONDS * 2**attempt))  # noqa: S311  # not a secret
        async with self.transaction(ambient=ambient) as tx:
            return await work(tx)

    def _executor(self) -> Executor:
        found = current.get()
        return self if found is None else found.of(self.ambient_owner) or self

    @abstractmethod
    def migration(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that holds the migration lock and has no statement timeout.

        ``run_script("COMMIT")`` and ``run_script("BEGIN")`` leave and enter it, for statements that cannot run in a
        transaction.
        """
