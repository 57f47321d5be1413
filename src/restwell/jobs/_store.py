"""Claims, leases and state changes of jobs. The table is the source of truth; brokers only carry notifications."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from restwell.database import Database, Transaction
from restwell.errors import ServiceUnavailable
from restwell.jobs import _queries as queries
from restwell.jobs._rows import ClaimedJob, ExpiredJob
from restwell.jobs._tables import JobState

LEASE_SECONDS: Final = 30.0
"""How long a claim lasts without an extension."""
PARKED_TTL_SECONDS: Final = 86_400.0
"""How long a job waits for a worker that knows it. After that it is dead."""
LEASE_EXPIRED: Final = "lease expired: its worker died or did not extend the lease in time"


class JobStore:
    """All times are the database's. Each method raises ServiceUnavailable if the database is unavailable."""

    def __init__(self, database: Database, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def claim(self, queues: Sequence[str], count: int, worker: str) -> list[ClaimedJob]:
        """Claim up to ``count`` ready jobs, by the order of ``queues``, then priority, then age.

        A claim counts as an attempt, and lasts for ``lease_seconds``. No job is claimed by two workers.
        """
        lease = {"worker": worker, "lease_seconds": self._lease_seconds}
        if self._database.dialect == "postgresql":
            claimed = await self._database.all(queries.claim, queues=queues, count=count, **lease)
            return sorted(claimed, key=lambda one: (queues.index(one.queue), -one.priority, one.id))
        claimed = []
        for queue in queues:
            try:
                # A read blocks no other writer. The write begins and commits in one call, so the lock of the database
                # is not held while a job blocks the event loop.
                if len(claimed) < count and await self._database.find(queries.has_ready, queue=queue) is not None:
                    more = await self._database.all(queries.claim, queue=queue, count=count - len(claimed), **lease)
                    claimed += sorted(more, key=lambda one: (-one.priority, one.id))
            except ServiceUnavailable:
                if not claimed:
                    raise
                break  # those that are claimed must run
        return claimed

    async def extend(self, running: Mapping[UUID, int]) -> set[UUID]:
        """Extend the leases of jobs, given by id and fencing token.

        Returns the ids that were extended; the others are lost.
        """
        rows = _encode({"id": job_id.hex, "fencing_token": fencing_token} for job_id, fencing_token in running.items())
        return set(await self._database.all(queries.extend, rows=rows, lease_seconds=self._lease_seconds))

    async def complete(self, results: Iterable[tuple[ClaimedJob, str | None]]) -> set[UUID]:
        """Mark jobs as done, each with its result. Returns the ids that were updated; the others are lost."""
        rows = _encode(
            {"id": one.id.hex, "fencing_token": one.fencing_token, "result": result} for one, result in results
        )
        return set(await self._database.all(queries.complete, rows=rows))

    async def complete_in(self, tx: Transaction, one: ClaimedJob) -> bool:
        """Mark a job as done in the transaction. Returns False, without an update, if the lease was lost."""
        rows = _encode([{"id": one.id.hex, "fencing_token": one.fencing_token, "result": None}])
        return bool(await tx.all(queries.complete, rows=rows))

    async def release(self, running: Iterable[ClaimedJob]) -> set[UUID]:
        """Make jobs ready again, without counting the attempt."""
        rows = _encode({"id": one.id.hex, "fencing_token": one.fencing_token} for one in running)
        return set(await self._database.all(queries.release, rows=rows))

    async def park(self, running: Iterable[tuple[ClaimedJob, str]]) -> set[UUID]:
        """Park jobs for a worker that knows their required signature, without counting the attempt."""
        rows = _encode(
            {"id": one.id.hex, "fencing_token": one.fencing_token, "requires": requires} for one, requires in running
        )
        return set(await self._database.all(queries.park, rows=rows, parked_ttl_seconds=PARKED_TTL_SECONDS))

    async def unpark(self, signatures: Sequence[str]) -> list[str]:
        """Make a batch of parked jobs ready that require one of ``signatures``. Returns the queue of each job."""
        encoded = signatures if self._database.dialect == "postgresql" else msgspec.json.encode(signatures).decode()
        parked = await self._database.primary.all(queries.parked_for_signatures, signatures=encoded)
        return [queue for one in parked for queue in await self._database.all(queries.unpark, match_signature=one)]

    async def fail(
        self, one: ClaimedJob, error: str, traceback: str, delay_seconds: float, *, permanent: bool
    ) -> JobState | None:
        """Record a failed attempt.

        The job is scheduled for a retry, or dead. Returns its state, or None if the lease was lost.
        """
        async with self._database.transaction() as tx:
            failed = await tx.find(
                queries.fail,
                job_id=one.id,
                match_fencing_token=one.fencing_token,
                delay_seconds=delay_seconds,
                permanent=permanent,
            )
            if failed is None:
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
        return JobState(failed.state)

    async def expire(self) -> list[ExpiredJob]:
        """Handle a batch of expired leases: make the jobs ready and isolated, or dead after the last attempt.

        Parked jobs whose time is over are dead. Records a failure for each job.
        """
        if await self._database.primary.find(queries.has_expired) is None:
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
                        "error": LEASE_EXPIRED
                        if one.requires is None
                        else f"no worker knew {one.requires} within {PARKED_TTL_SECONDS:g} s",
                        "traceback": "",
                    }
                    for one in expired
                ],
            )
        return expired

    async def expire_leases(self, worker: str) -> None:
        """Expire all leases of a dead worker immediately."""
        await self._database.run(queries.expire_leases, match_worker=worker, in_seconds=-1.0)

    async def promote(self) -> list[str]:
        """Make a batch of due scheduled jobs ready. Returns the queue of each job."""
        if await self._database.primary.find(queries.has_due) is None:
            return []
        return await self._database.all(queries.promote)

    async def prune(self, state: JobState, older_than_seconds: float) -> int:
        """Delete a batch of jobs in ``state`` that finished longer ago.

        Returns the number deleted; 0 means none are left.
        """
        return await self._database.run(queries.prune, state=state, in_seconds=-older_than_seconds)

    async def now(self) -> datetime:
        return await self._database.primary.one(queries.database_time)


def _encode(rows: Iterable[dict[str, object]]) -> str:
    return msgspec.json.encode(list(rows)).decode()
