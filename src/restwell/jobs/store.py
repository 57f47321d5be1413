"""The table of jobs as workers use it: claims, leases and ends. What it says is true; brokers only carry hints."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from restwell.database import Database, Transaction
from restwell.jobs import queries
from restwell.jobs.rows import ClaimedJob, ExpiredJob
from restwell.jobs.tables import JobState

LEASE_SECONDS: Final = 30.0
"""How long a job belongs to a worker that does not say it is still at it."""
PARKED_SECONDS: Final = 86_400.0
"""How long a job that a worker does not know is kept for one that does; then it is dead."""
DIED: Final = "its worker died, or did not extend the lease in time"


class JobStore:
    """Times are the database's. Raises ServiceUnavailable where that is not there."""

    def __init__(self, database: Database, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def claim(self, queues: Sequence[str], count: int, worker: str) -> list[ClaimedJob]:
        """Take up to ``count`` jobs: the first queue's first, of a queue those of high priority, then the oldest.

        Each is taken by one worker, counts as an attempt from now on, and belongs to it for the time of a lease.
        """
        taken = {"worker": worker, "lease_seconds": self._lease_seconds}
        if self._database.dialect == "postgresql":
            claimed = await self._database.all(queries.claim, queues=queues, count=count, **taken)
            return sorted(claimed, key=lambda one: (queues.index(one.queue), -one.priority, one.id))
        # A look costs nobody anything; a transaction makes every writer wait.
        waiting = [
            queue for queue in queues if await self._database.find(queries.is_there_any, queue=queue) is not None
        ]
        claimed = []
        if waiting:
            async with self._database.transaction() as tx:
                for queue in waiting:
                    if len(claimed) < count:
                        more = await tx.all(queries.claim, queue=queue, count=count - len(claimed), **taken)
                        claimed += sorted(more, key=lambda one: (-one.priority, one.id))
        return claimed

    async def extend(self, running: Mapping[UUID, int]) -> set[UUID]:
        """Renew the leases of jobs, by id and fencing_token. Returns those that are still theirs; the others have been lost."""
        rows = _encode({"id": job_id.hex, "fencing_token": fencing_token} for job_id, fencing_token in running.items())
        return set(await self._database.all(queries.extend, rows=rows, lease_seconds=self._lease_seconds))

    async def complete(self, results: Iterable[tuple[ClaimedJob, str | None]]) -> set[UUID]:
        """End jobs as done, each with its result. Returns the ids of those that were still their worker's."""
        rows = _encode(
            {"id": one.id.hex, "fencing_token": one.fencing_token, "result": result} for one, result in results
        )
        return set(await self._database.all(queries.complete, rows=rows))

    async def complete_in(self, tx: Transaction, one: ClaimedJob) -> bool:
        """End a job as done together with all else in the transaction. False, and nothing done, when it is another's now."""
        rows = _encode([{"id": one.id.hex, "fencing_token": one.fencing_token, "result": None}])
        return bool(await tx.all(queries.complete, rows=rows))

    async def release(self, running: Iterable[ClaimedJob]) -> set[UUID]:
        """Give jobs back as if they had not been taken."""
        rows = _encode({"id": one.id.hex, "fencing_token": one.fencing_token} for one in running)
        return set(await self._database.all(queries.release, rows=rows))

    async def park(self, running: Iterable[tuple[ClaimedJob, str]]) -> set[UUID]:
        """Put jobs aside, as if they had not been taken, for a worker that knows what each requires."""
        rows = _encode(
            {"id": one.id.hex, "fencing_token": one.fencing_token, "requires": requires} for one, requires in running
        )
        return set(await self._database.all(queries.park, rows=rows, parked_seconds=PARKED_SECONDS))

    async def unpark(self, known: Sequence[str]) -> list[str]:
        """Make some of the parked jobs ready that require one of these. Returns the queue of each."""
        listed = known if self._database.dialect == "postgresql" else msgspec.json.encode(known).decode()
        parked = await self._database.primary.all(queries.parked_known, known=listed)
        return [queue for one in parked for queue in await self._database.all(queries.unpark, required=one)]

    async def fail(
        self, one: ClaimedJob, error: str, traceback: str, delay_seconds: float, *, permanent: bool
    ) -> JobState | None:
        """Note a failed attempt; the job waits for its next one, or is dead. None when it is another's now."""
        async with self._database.transaction() as tx:
            ended = await tx.find(
                queries.fail,
                job_id=one.id,
                match_fencing_token=one.fencing_token,
                delay_seconds=delay_seconds,
                permanent=permanent,
            )
            if ended is None:
                return None
            await tx.run(
                queries.insert_failure,
                job_id=one.id,
                fencing_token=one.fencing_token,
                attempt=one.attempts,
                worker=None,
                error=error,
                traceback=traceback,
            )
        return JobState(ended.state)

    async def expire(self) -> list[ExpiredJob]:
        """Take jobs from workers whose lease is over: ready for another attempt, by itself, or dead. Parked ones are dead."""
        if await self._database.primary.find(queries.is_any_expired) is None:
            return []
        async with self._database.transaction() as tx:
            expired = await tx.all(queries.expire)
            await tx.run_many(
                queries.insert_failure,
                [
                    {
                        "job_id": one.id,
                        "fencing_token": one.fencing_token,
                        "attempt": one.attempts,
                        "worker": one.worker,
                        "error": DIED
                        if one.requires is None
                        else f"no worker knew {one.requires} in {PARKED_SECONDS:g} s",
                        "traceback": "",
                    }
                    for one in expired
                ],
            )
        return expired

    async def end_leases(self, worker: str) -> None:
        """A worker is known to be dead: nobody need wait for its leases."""
        await self._database.run(queries.end_leases, match_worker=worker, in_seconds=-1.0)

    async def promote(self) -> list[str]:
        """Make ready some of what was scheduled for a time that has come. Returns the queue of each."""
        if await self._database.primary.find(queries.is_any_due) is None:
            return []
        return await self._database.all(queries.promote)

    async def prune(self, state: JobState, older_than_seconds: float) -> int:
        """Delete some of the jobs that ended so long ago. Returns how many; 0, there are no more."""
        return await self._database.run(queries.prune, state=state, in_seconds=-older_than_seconds)

    async def now(self) -> datetime:
        """The database's time."""
        return await self._database.primary.one(queries.database_time)


def _encode(rows: Iterable[dict[str, object]]) -> str:
    return msgspec.json.encode(list(rows)).decode()
