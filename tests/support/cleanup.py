"""Runs the nightly cleanup, and counts what it leaves."""

from sqlalchemy import func, select, table

from restwell import App
from restwell.database import query
from restwell.jobs import JobState
from restwell.retention import clean_up
from restwell.testing import finish_jobs


async def clean(app: App) -> None:
    async with app.kit.database.transaction() as tx:
        job_id = await app.kit.jobs.enqueue(tx, clean_up)
    await finish_jobs(app)
    assert (await app.kit.jobs.get(job_id)).state == JobState.DONE


async def count(app: App, name: str) -> int:
    counted = select(func.count().label("n")).select_from(table(name))
    return await app.kit.database.one(query("test.count", counted, into=int))
