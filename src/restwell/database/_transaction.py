"""What runs named queries: the base of databases and transactions, and the callbacks at the end of a transaction."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypeVar

from restwell.database._instrumentation import track_execution
from restwell.database._query import Compiled, Query

T = TypeVar("T")

_WRITES: Final = ("INSERT", "UPDATE", "DELETE")

MAX_BATCH: Final = 8
"""Most deferred statements that are sent as one. Each combination needs its own prepared statement."""


class RowNotFound(LookupError):
    """``one`` found no row. This is a programming error, not an expected result."""


class Executor(ABC):
    """Runs named queries. A Database runs each in its own transaction; a Transaction runs all of them in one."""

    dialect: str

    async def find(self, query: Query[T], **arguments: Any) -> T | None:
        """The first row, or None."""
        rows = await self._rows(query, arguments)
        return rows[0] if rows else None

    async def one(self, query: Query[T], **arguments: Any) -> T:
        """The first row. Raises RowNotFound if there is none."""
        rows = await self._rows(query, arguments)
        if not rows:
            raise RowNotFound(f"query {query.name} found no row: use find, which returns None, if there may be none")
        return rows[0]

    async def all(self, query: Query[T], **arguments: Any) -> list[T]:
        """Every row. The query must contain the LIMIT."""
        return await self._rows(query, arguments)

    async def run(self, query: Query[Any], **arguments: Any) -> int:
        """Execute a write. Returns the number of affected rows."""
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with track_execution(query.name):
            return await self._executor()._execute(compiled, parameters)  # noqa: SLF001  # same class

    async def run_many(self, query: Query[Any], rows: Sequence[dict[str, Any]]) -> None:
        """Execute a write once for each mapping of arguments, in one round trip if the driver supports it."""
        compiled = query.compiled[self.dialect]
        parameters = [compiled.bind(row) for row in rows]
        with track_execution(query.name):
            await self._executor()._execute_many(compiled, parameters)  # noqa: SLF001  # same class

    async def _rows(self, query: Query[T], arguments: dict[str, Any]) -> list[T]:
        compiled = query.compiled[self.dialect]
        parameters = compiled.bind(arguments)
        with track_execution(query.name):
            rows = await self._executor()._fetch(compiled, parameters)  # noqa: SLF001  # same class
        return list(map(compiled.decode, rows))

    def _executor(self) -> "Executor":
        """What executes the statements."""
        return self

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


H = TypeVar("H", bound=TransactionHook)


class Transaction(Executor):
    """An atomic group of queries. ``hooks`` are called when it ends."""

    def __init__(self) -> None:
        self.hooks: list[TransactionHook] = []
        self._deferred: list[tuple[Query[Any], tuple[Any, ...]]] = []
        self._flush_failed = False
        self._has_ended = False

    def _end(self) -> None:
        self._has_ended = True

    def _executor(self) -> Executor:
        """Raises RuntimeError after the end of the block: its connection is then used by others."""
        if self._has_ended:
            raise RuntimeError("the transaction has ended: run its statements inside its async with block")
        return self

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


def hook_of(tx: Transaction, kind: type[H], *arguments: Any) -> H:
    """The hook of this kind. Added to the transaction, made of ``arguments``, if it has none."""
    for hook in tx.hooks:
        if isinstance(hook, kind):
            return hook
    added = kind(*arguments)
    tx.hooks.append(added)
    return added
