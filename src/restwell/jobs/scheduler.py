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
        timed = [job for job in self._jobs.known.values() if job.cron is not None]
        if not timed:
            return
        rows = await self._database.primary.all(queries.newest_ticks)
        newest = {row["name"]: row["tick"] for row in rows}
        now = await self._store.now()
        for job in timed:
            if job.name not in newest:
                await self._database.run(queries.first_tick, name=job.name, tick=now)
            elif job.cron is not None:
                last = newest[job.name]
                if job.cron.is_wrong(last, now):
                    log.warning("cron_tick_in_the_future", job=job.name, tick=last.isoformat(), now=now.isoformat())
                    await self._database.run(queries.next_tick, its_name=job.name, last=last, due=now)
                    continue
                for due in job.cron.between(last, now):
                    if not await self._enqueue(job, last, due):
                        break
                    last = due

    async def _enqueue(self, job: Job[..., Any], last: datetime, due: datetime) -> bool:
        """Make the job of one tick; False if another scheduler was faster."""
        async with self._database.transaction() as tx:
            if not await tx.run(queries.next_tick, its_name=job.name, last=last, due=due):
                return False
            arguments = {"tick": due} if "tick" in job.arguments.__struct_fields__ else {}
            await self._jobs.enqueue(tx, job, **arguments)
        return True
