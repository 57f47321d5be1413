"""Cron: one job for each tick, however many schedulers there are, and none that leads.

The name of each job with a cron has a row with the newest tick that a job was made for. A scheduler that finds a later one due
moves the row on from what it has read, and enqueues in the same transaction: of many, one succeeds. The time is the database's. A row that
is later than the next tick was written while that clock was wrong, and would silence its job until then: it begins anew.
"""

from datetime import datetime
from typing import Any

import structlog

from restwell.database import Database
from restwell.jobs import queries
from restwell.jobs.job import Job
from restwell.jobs.queue import Jobs
from restwell.jobs.store import JobStore

log = structlog.get_logger("restwell.jobs")


class Scheduler:
    """Part of each worker. ``tick`` is called once a second."""

    def __init__(self, database: Database, jobs: Jobs, store: JobStore) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store

    async def tick(self) -> None:
        """Enqueue what is due. A cron that has never been seen begins now."""
        timed = [job for job in self._jobs.registered.values() if job.cron is not None]
        if not timed:
            return
        rows = await self._database.primary.all(queries.latest_cron_runs)
        newest = {row["name"]: row["scheduled_at"] for row in rows}
        now = await self._store.now()
        for job in timed:
            if job.name not in newest:
                await self._database.run(queries.insert_cron_run, name=job.name, scheduled_at=now)
            elif job.cron is not None:
                last = newest[job.name]
                if job.cron.is_wrong(last, now):
                    log.warning("cron_last_run_in_future", job=job.name, tick=last.isoformat(), now=now.isoformat())
                    await self._database.run(
                        queries.advance_cron_run, match_name=job.name, match_scheduled_at=last, next_at=now
                    )
                    continue
                for due in job.cron.between(last, now):
                    if not await self._enqueue(job, last, due):
                        break
                    last = due

    async def _enqueue(self, job: Job[..., Any], last: datetime, due: datetime) -> bool:
        """Make the job of one tick; False if another scheduler was faster."""
        async with self._database.transaction() as tx:
            if not await tx.run(queries.advance_cron_run, match_name=job.name, match_scheduled_at=last, next_at=due):
                return False
            arguments = {"scheduled_at": due} if "scheduled_at" in job.arguments.__struct_fields__ else {}
            await self._jobs.enqueue(tx, job, **arguments)
        return True
