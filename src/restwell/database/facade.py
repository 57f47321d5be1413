"""The one way to the data: a Database gives queries and transactions, whatever runs below."""

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

from restwell.database.batching import Batches
from restwell.database.instrumentation import execution
from restwell.database.query import Compiled, Query
from restwell.errors import ServiceUnavailable

T = TypeVar("T")

log = structlog.get_logger("restwell.database")

_WRITES: Final = ("INSERT", "UPDATE", "DELETE")

ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 0.02
MAX_BATCH: Final = 8
"""So many deferred statements are one at most: every combination is one more that the database prepares."""


class DatabaseUnavailable(ServiceUnavailable):
    code, message = "database_unavailable", "The database cannot be reached right now. Try again shortly."


class DatabaseBusy(ServiceUnavailable):
    code, message = "database_busy", "The database is too busy right now. Nothing was changed. Try again shortly."


class TransactionConflict(DatabaseBusy):
    """Another transaction got in between: a deadlock, or a serialization failure. ``in_transaction`` runs it again."""

    code = "transaction_conflict"
    message = "Others were changing the same data at the same moment. Nothing was changed. Try again shortly."


class MigrationInProgress(Exception):
    """Another process migrates this database, and did not end in the time that this one waits for its turn."""


class UniqueViolation(Exception):
    """A row with that key exists. ``constraint`` names the index, or on SQLite the columns as ``table.column``."""

    def __init__(self, constraint: str) -> None:
        self.constraint = constraint
        super().__init__(constraint)


class RowNotFound(LookupError):
    """``one`` found no row: the caller's assumption was wrong."""


class PoolStats(Struct, frozen=True):
    """A pool as it is, and what it has counted since its start. Seconds are of waiting for a connection."""

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
    """Runs named queries: a Database, each in a transaction of its own, or a Transaction, together."""

    dialect: ClassVar[str]

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        """The first row, or None."""
        rows = await self._rows(query, arguments)
        return rows[0] if rows else None

    async def one(self, query: Query[T], **arguments: Any) -> T:
        """The first row. Raises RowNotFound where there is none."""
        rows = await self._rows(query, arguments)
        if not rows:
            raise RowNotFound(query.name)
        return rows[0]

    async def all(self, query: Query[T], **arguments: Any) -> list[T]:
        """Every row; the query itself holds the limit."""
        return await self._rows(query, arguments)

    async def run(self, query: Query[Any], **arguments: Any) -> int:
        """Execute for the effect. Returns how many rows were changed."""
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with execution(query.name):
            return await self._execute(compiled, parameters)

    async def run_many(self, query: Query[Any], rows: Sequence[dict[str, Any]]) -> None:
        """Execute once for each mapping of arguments, in one round trip where the driver can."""
        compiled = query.compiled[self.dialect]
        parameters = [compiled.bind(row) for row in rows]
        with execution(query.name):
            await self._execute_many(compiled, parameters)

    async def _rows(self, query: Query[T], arguments: dict[str, Any]) -> list[T]:
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with execution(query.name):
            rows = await self._fetch(compiled, parameters)
        return list(map(compiled.decode, rows))

    @abstractmethod
    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]: ...

    @abstractmethod
    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int: ...

    @abstractmethod
    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None: ...


class TransactionHook(ABC):
    """What goes along with a transaction, and must know how it ended before anyone else does.

    ``rolled_back`` and ``outcome_unknown`` are called where nothing may be waited for any more: they begin what takes time.
    """

    @abstractmethod
    async def before_commit(self, tx: "Transaction") -> None:
        """Every statement has run. What this raises rolls the transaction back."""

    @abstractmethod
    async def committed(self) -> None:
        """It is durable; the caller goes on when this returns."""

    @abstractmethod
    def rolled_back(self) -> None:
        """Nothing was changed."""

    @abstractmethod
    def outcome_unknown(self) -> None:
        """COMMIT was sent and its answer is missing: it may have happened, or may yet."""


class Transaction(Executor):
    """Several queries that take effect together or not at all, and the ``hooks`` that hear of their end."""

    def __init__(self) -> None:
        self.hooks: list[TransactionHook] = []
        self._deferred: list[tuple[Query[Any], tuple[Any, ...]]] = []
        self._failed = False

    def defer(self, query: Query[Any], **arguments: Any) -> None:
        """Execute for the effect a little later: before the next statement of this transaction, or before its commit, with all that is
        deferred by then, in one round trip if there are no more than MAX_BATCH; else those of each query are one.

        For writes whose outcome nobody asks for. Those that go together do not see each other, so they must not touch the same rows.
        What one of them raises is raised by whatever comes next, at the latest by the end of the block. Raises TypeError for what is no
        INSERT, UPDATE or DELETE.
        """
        compiled = query.compiled[self.dialect]
        if not compiled.sql.startswith(_WRITES):
            raise TypeError(f"query {query.name} cannot be deferred: it is no INSERT, UPDATE or DELETE")
        self._deferred.append((query, compiled.bind(arguments)))

    async def flush(self) -> None:
        """Execute what is deferred now. Raises RuntimeError where some of it has failed before: it must not be saved without the rest."""
        if self._failed:
            raise RuntimeError("nothing was saved: a deferred statement failed, and its error was not passed on")
        deferred, self._deferred = self._deferred, []
        self._failed = bool(deferred)
        await self._execute_all(deferred)
        self._failed = False

    async def _execute_all(self, deferred: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None:
        if 0 < len(deferred) <= MAX_BATCH:
            with execution("+".join(dict.fromkeys(query.name for query, _ in deferred))):
                await self._execute_together(deferred)
            return
        for query, group in groupby(deferred, key=itemgetter(0)):
            with execution(query.name):
                await self._execute_many(query.compiled[self.dialect], [parameters for _, parameters in group])

    @abstractmethod
    async def _execute_together(self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]) -> None: ...

    @abstractmethod
    async def run_script(self, statement: str) -> None:
        """Execute one raw statement without parameters; for migrations."""


class Database(Executor):
    """A database opened by URL. ``start`` connects, ``close`` ends every connection; both may be repeated.

    ``async with`` does both.
    """

    def __init__(self) -> None:
        self._batches = Batches(self.dialect, self._fetch)

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        if query.batched:
            row: T | None = await self._batches.find(query, arguments)
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
        """The pools of connections as they are now, by the name of their server."""
        return {}

    @property
    def primary(self) -> "Database":
        """Where a read sees every write acknowledged so far, whoever made it. Without replicas that is everywhere."""
        return self

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def start(self) -> None:
        """Connect. Raises DatabaseUnavailable naming the reason."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def connection_limit(self) -> int | None:
        """How many connections the server allows ordinary users in all, or None where there is no such limit."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a write transaction: commit at the end of the block, roll back when it raises or is cancelled.

        The commit has happened, durably, once the block is left. Raises DatabaseBusy when a lock is not had in time.
        """
        hooks: list[TransactionHook] = []
        sent = False
        try:
            async with self._transaction() as tx:
                hooks = tx.hooks
                yield tx
                for hook in hooks:
                    await hook.before_commit(tx)
                await tx.flush()
                sent = True
        except BaseException:
            for hook in hooks:
                (hook.outcome_unknown if sent else hook.rolled_back)()
            raise
        for hook in hooks:
            await hook.committed()

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """The transaction itself, as ``transaction`` promises it."""

    async def in_transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """The result of ``work`` in a transaction that has committed.

        When another transaction got in between (SQLSTATE 40001 or 40P01), all of it is run again, up to ATTEMPTS times with
        a short random pause. So ``work`` has no effect but through its transaction.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except TransactionConflict as error:
                log.warning("transaction_retried", attempt=attempt, cause=repr(error.__cause__))
            await asyncio.sleep(random.uniform(0, RETRY_SECONDS * 2**attempt))  # noqa: S311  # full jitter, no secret
        async with self.transaction() as tx:
            return await work(tx)

    @abstractmethod
    def migration(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that no other migration runs beside, without the statement timeout.

        ``run_script("COMMIT")`` and ``run_script("BEGIN")`` leave and enter it, for what cannot run in one.
        """
