"""Enqueues cron jobs, one job for each scheduled time, without a leader.

Each cron job has a row with the newest scheduled time that was enqueued. A scheduler advances the row with a
compare-and-set in the transaction that enqueues the job, so one of several schedulers succeeds. All times are the
database's. A row in the future was written while the database's clock was wrong; it is reset to now, so that the job
is not skipped until then.
"""

from datetime import datetime
from typing import Any

import structlog

from restwell.database import Database
from restwell.jobs import _queries as queries
from restwell.jobs._job import Job
from restwell.jobs._queue import Jobs
from restwell.jobs._store import JobStore

log = structlog.get_logger("restwell.jobs")


class Scheduler:
    """Each worker has one, and calls ``run_once`` every second."""

    def __init__(self, database: Database, jobs: Jobs, store: JobStore) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store

    async def run_once(self) -> None:
        """Enqueue the due jobs. A new cron job starts now: earlier scheduled times are not made up for."""
        cron_jobs = [job for job in self._jobs.registered.values() if job.cron is not None]
        if not cron_jobs:
            return
        rows = await self._database.primary.all(queries.latest_cron_runs)
        latest = {row["name"]: row["scheduled_at"] for row in rows}
        now = await self._store.now()
        for job in cron_jobs:
            if job.name not in latest:
                await self._database.run(queries.insert_cron_run, name=job.name, scheduled_at=now)
            elif job.cron is not None:
                last = latest[job.name]
                if job.cron.is_in_future(last, now):
                    log.warning(
                        "cron_last_run_in_future", job=job.name, scheduled_at=last.isoformat(), now=now.isoformat()
                    )
                    await self._database.run(
                        queries.advance_cron_run, match_name=job.name, match_scheduled_at=last, next_at=now
                    )
                    continue
                for due in job.cron.due_between(last, now):
                    if not await self._enqueue(job, last, due):
                        break
                    last = due

    async def _enqueue(self, job: Job[..., Any], last: datetime, due: datetime) -> bool:
        """Enqueue the job of one scheduled time. Returns False if another scheduler did it first."""
        async with self._database.transaction() as tx:
            if not await tx.run(queries.advance_cron_run, match_name=job.name, match_scheduled_at=last, next_at=due):
                return False
            arguments = {"scheduled_at": due} if "scheduled_at" in job.arguments.__struct_fields__ else {}
            job_id = await self._jobs.enqueue(tx, job, **arguments)
            await tx.run(queries.set_cron_job, match_name=job.name, job_id=job_id)
        return True
