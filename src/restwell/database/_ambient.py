"""The ambient transaction: what queries and transactions of a task join, so that several services share one commit.

It belongs to the task that began it and to the tasks which that task starts. Their statements run one after the other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

from restwell.database._query import Compiled, Query
from restwell.database._transaction import Transaction
from restwell.errors import ServiceUnavailable

P = ParamSpec("P")
R = TypeVar("R")

current: Final[ContextVar["AmbientTransaction | None"]] = ContextVar("ambient_transaction", default=None)


class AmbientTransaction(Transaction):
    """Runs the statements of ``transaction``. ``owner`` is the database whose queries join it.

    After an error no more statements run and the commit is refused: a suppressed error must not save half of the
    operation.
    """

    def __init__(self, transaction: Transaction, owner: object) -> None:
        super().__init__()
        self.dialect = transaction.dialect
        self.hooks = transaction.hooks
        self.ended = False
        self._transaction = transaction
        self.owner = owner
        self.outer = current.get()
        self._failure: BaseException | None = None
        self._blocks = 0
        self._one_at_a_time = asyncio.Lock()

    def of(self, owner: object) -> "AmbientTransaction | None":
        """This transaction, or one around it, if it belongs to ``owner`` and has not ended."""
        found: AmbientTransaction | None = self
        while found is not None and (found.ended or found.owner is not owner):
            found = found.outer
        return found

    @asynccontextmanager
    async def join(self) -> AsyncIterator[Transaction]:
        """What ``Database.transaction`` is inside: the end of the block does not commit."""
        self._check()
        self._blocks += 1
        try:
            yield self
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._blocks -= 1

    async def finish(self) -> None:
        """Wait for a running statement. Raises RuntimeError if the transaction must not be committed."""
        self.ended = True
        async with self._one_at_a_time:
            self._check()
        if self._blocks:
            raise RuntimeError("nothing was saved: a task still uses the transaction; await it inside the transaction")

    def defer(self, query: Query[Any], **arguments: Any) -> None:
        self._check_open()
        self._transaction.defer(query, **arguments)

    async def flush(self) -> None:
        await self._alone(self._transaction.flush)

    async def run_script(self, statement: str) -> None:
        await self._alone(self._transaction.run_script, statement)

    async def _fetch(self, compiled: Compiled, parameters: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        return await self._alone(self._transaction._fetch, compiled, parameters)  # noqa: SLF001  # same package

    async def _execute(self, compiled: Compiled, parameters: tuple[Any, ...]) -> int:
        return await self._alone(self._transaction._execute, compiled, parameters)  # noqa: SLF001  # same package

    async def _execute_many(self, compiled: Compiled, parameters: Sequence[tuple[Any, ...]]) -> None:
        await self._alone(self._transaction._execute_many, compiled, parameters)  # noqa: SLF001  # same package

    async def _execute_batch(  # pragma: no cover  # never called: the transaction flushes its own writes
        self, statements: Sequence[tuple[Query[Any], tuple[Any, ...]]]
    ) -> None:
        await self._alone(self._transaction._execute_batch, statements)  # noqa: SLF001  # same package

    async def _alone(self, execute: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one statement. A connection runs one at a time."""
        async with self._one_at_a_time:
            self._check_open()
            self._check()
            try:
                return await execute(*args, **kwargs)
            except BaseException as error:
                self._failure = error
                raise

    def _check_open(self) -> None:
        if self.ended:
            raise RuntimeError("the transaction has ended; await every task that uses it inside the transaction")

    def _check(self) -> None:
        if isinstance(self._failure, ServiceUnavailable):
            raise self._failure  # a conflict is retried, an outage is a 503
        if self._failure is not None:
            raise RuntimeError(
                "nothing was saved: a statement or a block of the transaction failed, and its error was suppressed"
            ) from self._failure


@asynccontextmanager
async def ambient(transaction: Transaction, owner: object) -> AsyncIterator[Transaction]:
    """Make a transaction ambient for the block. The caller commits it afterwards, or rolls it back on an error."""
    shared = AmbientTransaction(transaction, owner)
    token = current.set(shared)
    try:
        yield shared
        await shared.finish()
    finally:
        shared.ended = True
        current.reset(token)


@contextmanager
def no_ambient_transaction() -> Iterator[None]:
    """Leave the ambient transaction for the block: its queries and transactions commit on their own."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)


def in_ambient_transaction() -> bool:
    """Whether this task has an ambient transaction that has not ended, of any database."""
    found = current.get()
    while found is not None and found.ended:
        found = found.outer
    return found is not None
