"""The processes of this machine, what has blocked their event loops, and the workers that run jobs."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import func, select

from restwell.database import Database, query
from restwell.jobs import JobState
from restwell.jobs._queries import is_in
from restwell.jobs._tables import UNFINISHED, jobs
from restwell.observability._metrics import Metrics
from restwell.observability._process_reports import FACTS, ProcessFacts, read_section
from restwell.observability._watchdog import REPORT as BLOCKS
from restwell.observability._watchdog import Block
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response

MAX_RUNNING: Final = 2_000
"""Running jobs that are looked at: more do not run at the same time."""
SHOWN_BLOCKS: Final = 50
LATE_SECONDS: Final = 10
"""A process reports once a second. One that is later is blocked, or the machine is."""


class JobWorker(Struct, frozen=True):
    """What a worker runs, on any machine. ``oldest``: when the first of its running jobs was started."""

    worker: str | None
    running: int
    oldest: datetime | None
    lease_until: datetime | None


class ReportedProcess(Struct, frozen=True):
    facts: ProcessFacts
    blocks: list[Block]

    @property
    def is_late(self) -> bool:
        return datetime.now(UTC) - self.facts.reported_at > timedelta(seconds=LATE_SECONDS)


_running: Final = (
    select(jobs.c.worker, jobs.c.started_at, jobs.c.lease_until)
    .where(is_in(JobState.RUNNING), is_in(*UNFINISHED))  # both, for the condition of the index jobs_unfinished
    .limit(MAX_RUNNING)
    .subquery()
)
job_workers: Final = query(
    "ops.job_workers",
    select(
        _running.c.worker,
        func.count().label("running"),
        func.min(_running.c.started_at).label("oldest"),
        func.min(_running.c.lease_until).label("lease_until"),
    )
    .group_by(_running.c.worker)
    .order_by(_running.c.worker)
    .limit(200),
    into=JobWorker,
)


class WorkersController(Controller):
    path = f"{ROOT}/workers"

    @page()
    async def workers(self, request: Request, layout: Layout, metrics: Metrics, database: Database) -> Response[bytes]:
        processes = await read_processes(metrics)
        blocks = sorted(
            ((block, each.facts) for each in processes for block in each.blocks),
            key=lambda pair: pair[0].at,
            reverse=True,
        )
        return layout.page(
            request,
            "workers.html",
            processes=processes,
            blocks=blocks[:SHOWN_BLOCKS],
            job_workers=await database.primary.all(job_workers),
        )


async def read_processes(metrics: Metrics) -> list[ReportedProcess]:
    """The live processes that share the metrics of this one: those of the server first."""
    found = []
    for report in await metrics.process_reports():
        facts = read_section(report, FACTS, ProcessFacts)
        if facts is not None:
            found.append(ReportedProcess(facts, read_section(report, BLOCKS, list[Block]) or []))
    return sorted(found, key=lambda each: (each.facts.kind, each.facts.started_at, each.facts.pid))


PAGE: Final = OpsPage("Workers", WorkersController, queries=[lambda: [job_workers]])
