"""An application that has nothing but jobs, for workers in processes of their own."""

import os
from dataclasses import replace
from pathlib import Path

import sample_jobs
from labour.broken import break_on_purpose
from restwell import App, Migrations, Project, Restwell, supervisor
from restwell.auth import Actor
from restwell.errors import Unauthorized
from restwell.settings import Settings

CRONS = "LABOUR_CRONS"
"""So many jobs run each second."""
MIGRATIONS = Path(__file__).with_name("migrations")


async def authenticate(_token: str) -> Actor:
    raise Unauthorized


def create_app(settings: Settings) -> App:
    break_on_purpose()
    supervisor.BLOCKED_SECONDS = float(os.environ.get("LABOUR_BLOCKED_SECONDS", "60"))  # type: ignore[misc]  # a test has less time
    crons = [replace(sample_jobs.every_second, name=f"tick_{n}") for n in range(int(os.environ.get(CRONS, "0")))]
    kit = Restwell(settings, name="labour")
    return kit.app(
        version="1.0.0",
        description="Labour.",
        versions=[],
        provide=[kit.database],
        jobs=[*sample_jobs.ALL, *crons],
        authenticate=authenticate,
        migrations=Migrations(MIGRATIONS),
    )


project = Project(name="labour", settings=Settings, create_app=create_app, migrations=MIGRATIONS)
