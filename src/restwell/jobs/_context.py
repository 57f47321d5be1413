"""The context of one attempt, passed to the job's function."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from restwell.database import Database, Transaction
from restwell.jobs._rows import ClaimedJob
from restwell.jobs._store import JobStore

P = ParamSpec("P")
T = TypeVar("T")


class LeaseLost(Exception):
    """The job was cancelled or claimed by another worker. This attempt must have no further effect."""


class JobContext:
    """The first argument of an async job.

    ``job_id`` is the same in every attempt: use it as an idempotency key in calls to other services.
    """

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
        """The number of the attempt, from 1."""
        return self._claimed.attempts

    @property
    def is_last_attempt(self) -> bool:
        """Whether the job is dead if this attempt fails."""
        return self._claimed.attempts >= self._claimed.max_attempts

    def get(self, kind: Callable[..., T]) -> T:
        """The service of that type from the features. Raises LookupError without one."""
        for service in self._services:
            if isinstance(
                service, cast("type[T]", kind)
            ):  # typed as a Callable, so that mypy accepts an abstract class
                return service
        raise LookupError(f"job {self._claimed.name} needs a {kind.__name__}; add it to the services of a Feature")

    @asynccontextmanager
    async def completion(self) -> AsyncIterator[Transaction]:
        """A transaction whose commit also completes the job, so that its writes happen exactly once.

        Raises LeaseLost and rolls back if the lease was lost. The job stores no result.
        """
        async with self._database.transaction() as tx:
            yield tx
            if not await self._store.complete_in(tx, self._claimed):
                raise LeaseLost
        self.completed = True

    async def run_in_process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a CPU-bound function in a separate process, so that it does not block the event loop.

        It must be defined at module level; arguments and result are pickled. The process is killed at the job's
        timeout. Raises what the function raises, and ProcessDied.
        """
        result: T = await self._in_process(function, *args, **kwargs)
        return result
