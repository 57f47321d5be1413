"""An application with one slow route among fast ones, whose slow query is the cause, and a job that fails."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import func, literal, select

from ops_app import create_app as create_ops_app
from ops_app import seed
from restwell import App, Project
from restwell.database import Database, query
from restwell.jobs import JobContext, Jobs, job
from restwell.settings import Settings
from restwell.web import Feature, get, post

_start = select(literal(1).label("i")).cte("numbers", recursive=True)
_numbers = _start.union_all(select(_start.c.i + 1).where(_start.c.i < 1_500_000))

count_stock: Final = query("stock.count", select(func.count().label("n")).select_from(_numbers).limit(1), into=dict)
count_one: Final = query("stock.one", select(literal(1).label("n")).limit(1), into=dict)


@job(max_attempts=1)
async def send_invoice(_context: JobContext, number: int) -> None:
    """Succeeds when the cause is mended: when the file with the addresses exists."""
    if not Path(os.environ["ADDRESSES"]).exists():
        raise ValueError(f"invoice {number} has no address")


@get("/fast")
async def fast(database: Database) -> int:
    return int((await database.one(count_one))["n"])


@get("/stock")
async def stock(database: Database) -> int:
    await database.one(count_one)
    return int((await database.one(count_stock))["n"])


@post("/invoices")
async def invoice(database: Database, jobs: Jobs) -> int:
    async with database.transaction() as tx:
        await jobs.enqueue(tx, send_invoice, number=42)
    return 42


def create_app(settings: Settings) -> App:
    return create_ops_app(settings, Feature(controllers=[fast, stock, invoice], jobs=[send_invoice]))


troubled: Final = Project(name="troubled", settings=Settings, create_app=create_app, seed=seed, banner=lambda: "")
