"""A database with the job tables and a table of their effects, and in-process workers on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Column, MetaData, Table, Text, insert, select

from restwell.database import Database, Id, Migrations, open_database, param, query
from restwell.errors import ServiceUnavailable
from restwell.ids import new_id
from restwell.jobs import Job, Jobs, Worker, WorkerOptions
from restwell.jobs._notifier import Notifier, open_notifier
from restwell.jobs._tables import jobs as jobs_table
from restwell.observability._trace_recorder import TraceRecorder
from servers import SUPPORT

effects = Table("effects", MetaData(), Column("job_id", Id, nullable=False), Column("note", Text, nullable=False))

add_effect = query("effects.add", insert(effects).values(job_id=param("job_id"), note=param("note")))
all_notes = query("effects.notes", select(effects.c.note).order_by(effects.c.note).limit(100_000), into=str)

SECONDS = 60


async def make_tables(database: Database) -> None:
    await Migrations(SUPPORT / "jobs_app" / "migrations").upgrade(database)


class JobsHarness:
    """``jobs`` is the queue of the producer. Each worker has its own queue and database, as in a separate process."""

    def __init__(
        self, url: str, database: Database, known: Iterable[Job[..., Any]], broker_url: str | None, name: str
    ) -> None:
        self.url = url
        self.broker_url = broker_url
        self.name = name
        self.database = database
        self.known = list(known)
        self.jobs = self.queue(database)

    def notifier(self, database: Database) -> Notifier:
        return open_notifier(database, self.url, self.broker_url, self.name)

    def queue(self, database: Database) -> Jobs:
        jobs = Jobs(database, self.notifier(database))
        jobs.register(self.known)
        return jobs

    async def enqueue(self, job: Job[..., Any], **arguments: Any) -> Any:
        async with self.database.transaction() as tx:
            return await self.jobs.enqueue(tx, job, **arguments)

    @asynccontextmanager
    async def worker(
        self, services: Iterable[object] = (), *, traces: TraceRecorder | None = None, **options: Any
    ) -> AsyncIterator[Worker]:
        """Run a worker, and drain it at the end."""
        options = {"queues": ("default",), "drain_seconds": 5.0, **options}
        async with open_database(self.url, 5) as database:
            jobs = self.queue(database)
            worker = Worker(database, self.url, jobs, list(services), WorkerOptions(**options), traces=traces)
            task = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.stop()
                with suppress(asyncio.CancelledError):
                    await task
                await jobs.close()

    async def notes(self) -> list[str]:
        return await self.database.all(all_notes)

    async def states(self) -> list[str]:
        return await self.database.all(query("harness.states", select(jobs_table.c.state).limit(100_000), into=str))

    async def wait_until_finished(self, seconds: float = SECONDS) -> list[str]:
        """Wait until every job has finished. Returns their states."""
        return await self.wait_for_states(
            lambda states: bool(states) and not {"scheduled", "ready", "running", "parked"} & set(states), seconds
        )

    async def wait_for_states(self, condition: Callable[[list[str]], bool], seconds: float = SECONDS) -> list[str]:
        states: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    with suppress(ServiceUnavailable):  # on a busy machine
                        states = await self.states()
                        if condition(states):
                            return states
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"after {seconds} s: {states}") from None


@asynccontextmanager
async def open_harness(
    url: str, known: Iterable[Job[..., Any]], broker_url: str | None = None, *, make: bool = True, name: str = ""
) -> AsyncIterator[JobsHarness]:
    async with open_database(url, 5) as database:
        if make:
            await make_tables(database)
        harness = JobsHarness(url, database, known, broker_url, name or new_id().hex)
        try:
            yield harness
        finally:
            await harness.jobs.close()
