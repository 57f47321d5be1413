"""An application that has nothing but jobs, for workers in processes of their own."""

import asyncio
import os
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sample_jobs
from jobs_app.broken import break_on_purpose
from restwell import App, Migrations, Project, Restwell, supervisor
from restwell.auth import Actor
from restwell.errors import Unauthorized
from restwell.jobs import Job
from restwell.jobs.scheduler import Scheduler
from restwell.settings import Settings

RELEASE = "JOBS_APP_RELEASE"
"""``new`` for the release after the ordinary one."""
CRONS = "JOBS_APP_CRONS"
"""So many jobs run each second."""
MIGRATIONS = Path(__file__).with_name("migrations")


async def authenticate(_token: str) -> Actor:
    raise Unauthorized


def _hesitate() -> None:
    """Each scheduler waits a moment between what it reads and what it writes, so that they get in each other's way."""
    real = Scheduler._enqueue

    async def enqueue(self: Scheduler, job: Job[..., Any], last: datetime, due: datetime) -> bool:
        await asyncio.sleep(random.uniform(0, 0.3))  # noqa: S311  # no secret
        return await real(self, job, last, due)

    Scheduler._enqueue = enqueue  # type: ignore[method-assign]


def create_app(settings: Settings) -> App:
    break_on_purpose()
    supervisor.BLOCKED_SECONDS = float(os.environ.get("JOBS_APP_BLOCKED_SECONDS", "60"))  # type: ignore[misc]  # a test has less time
    _hesitate()
    crons = [replace(sample_jobs.every_second, name=f"tick_{n}") for n in range(int(os.environ.get(CRONS, "0")))]
    kit = Restwell(settings, name="jobs_app")
    return kit.app(
        version="1.0.0",
        description="Labour.",
        versions=[],
        provide=[kit.database],
        jobs=[*(sample_jobs.NEXT_RELEASE if os.environ.get(RELEASE) == "new" else sample_jobs.ALL), *crons],
        authenticate=authenticate,
        migrations=Migrations(MIGRATIONS),
    )


project = Project(name="jobs_app", settings=Settings, create_app=create_app, migrations=MIGRATIONS)
