"""One attempt at a job, as its function sees it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from restwell.database import Database, Transaction
from restwell.jobs.rows import ClaimedJob
from restwell.jobs.store import JobStore

P = ParamSpec("P")
T = TypeVar("T")


class LeaseLost(Exception):
    """The job is another worker's now, or was cancelled: nothing of this attempt may take effect any more."""


class JobContext:
    """The first argument of an async job. ``job_id`` is the same in every attempt: use it as the idempotency key outside."""

    def __init__(
        self,
        claimed: ClaimedJob,
        database: Database,
        store: JobStore,
        services: Sequence[object],
        run_in_process: Callable[..., Awaitable[Any]],
    ) -> None:
        self._claimed = claimed
        self._database = database
        self._store = store
        self._services = services
        self._in_process = run_in_process
        self.completed = False

    @property
    def job_id(self) -> UUID:
        return self._claimed.id

    @property
    def attempt(self) -> int:
        """1 in the first."""
        return self._claimed.attempts

    @property
    def is_last(self) -> bool:
        """Whether the job is dead if this attempt fails."""
        return self._claimed.attempts >= self._claimed.max_attempts

    def get(self, kind: Callable[..., T]) -> T:
        """The application's service of that class, one of ``provide``. Raises LookupError naming what is missing."""
        for one in self._services:
            if isinstance(one, cast("type[T]", kind)):  # a Callable, so that an abstract class may be asked for
                return one
        raise LookupError(f"job {self._claimed.name} needs a {kind.__name__}; add it to provide=[...]")

    @asynccontextmanager
    async def completion(self) -> AsyncIterator[Transaction]:
        """A transaction that ends the job as done with its commit, so that what it writes is written once.

        Raises LeaseLost, and writes nothing, if the job is not this attempt's any more. The job has no result then.
        """
        async with self._database.transaction() as tx:
            yield tx
            if not await self._store.complete_in(tx, self._claimed):
                raise LeaseLost
        self.completed = True

    async def run_in_process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, from a process of its own: for work of the processor, which would make all other jobs wait.

        It has to be a module's own; arguments and result are pickled. The process is ended when the attempt's time is over. Raises
        what the function raises, and ProcessDied.
        """
        result: T = await self._in_process(function, *args, **kwargs)
        return result
