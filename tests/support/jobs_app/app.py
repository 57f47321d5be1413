"""An application with only jobs, for tests with worker processes."""

import asyncio
import os
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sample_jobs
from jobs_app.broken import break_on_purpose
from restwell import App, Project, Restwell
from restwell import _supervisor as supervisor
from restwell.jobs import Job
from restwell.jobs._scheduler import Scheduler
from restwell.settings import Settings
from restwell.web import Feature

RELEASE = "JOBS_APP_RELEASE"
"""``new`` runs the next release."""
CRONS = "JOBS_APP_CRONS"
"""The number of cron jobs, which run every second."""
MIGRATIONS = Path(__file__).with_name("migrations")


def _delay_schedulers() -> None:
    """Delay each scheduler between its read and its write, so that schedulers race."""
    real = Scheduler._enqueue

    async def enqueue(self: Scheduler, job: Job[..., Any], last: datetime, due: datetime) -> bool:
        await asyncio.sleep(random.uniform(0, 0.3))  # noqa: S311  # not a secret
        return await real(self, job, last, due)

    Scheduler._enqueue = enqueue  # type: ignore[method-assign]


def create_app(settings: Settings) -> App:
    break_on_purpose()
    supervisor.BLOCKED_SECONDS = float(os.environ.get("JOBS_APP_BLOCKED_SECONDS", "60"))  # type: ignore[misc]
    _delay_schedulers()
    crons = [replace(sample_jobs.every_second, name=f"cron_{n}") for n in range(int(os.environ.get(CRONS, "0")))]
    jobs = sample_jobs.NEXT_RELEASE if os.environ.get(RELEASE) == "new" else sample_jobs.ALL
    return Restwell(settings, name="jobs_app").app([Feature(jobs=[*jobs, *crons])], migrations=MIGRATIONS)


project = Project(name="jobs_app", settings=Settings, create_app=create_app)
