"""The overview, which says whether all is well."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from restwell.database import Database, Migrations
from restwell.errors import ServiceUnavailable
from restwell.jobs import Jobs, JobState, QueueStats
from restwell.observability._metrics import Metrics
from restwell.ops._figures import Figures, read_figures
from restwell.ops._layout import Layout
from restwell.ops._migrations import schema_fault
from restwell.ops._page import ROOT, OpsPage, page
from restwell.ops._request_rates import RateWindow, RequestRates
from restwell.ops._workers import ReportedProcess, read_processes
from restwell.settings import Settings
from restwell.web import Controller, Request, Response

RECENTLY: Final = timedelta(minutes=5)
MANY_FAILED: Final = 0.01
"""The share of requests with a 5xx from which something is wrong."""
LATE: Final = timedelta(minutes=1)
"""How long a ready job may wait."""


class Part(Struct, frozen=True):
    """A part of the application. ``kind``: ok, warn or bad. ``path``: the page with the details."""

    name: str
    kind: str
    text: str
    path: str = ""


class OverviewController(Controller):
    path = ROOT

    @page()
    async def overview(
        self,
        request: Request,
        layout: Layout,
        metrics: Metrics,
        rates: RequestRates,
        jobs: Jobs,
        database: Database,
        migrations: Migrations,
        settings: Settings,
    ) -> Response[bytes]:
        window = await rates.read()
        processes = await read_processes(metrics)
        figures = await read_figures(metrics, "restwell_")
        parts = [await _database_part(database, migrations, figures)]
        stats: list[QueueStats] = []
        if parts[0].kind != "bad":
            stats = await jobs.queue_stats()
        parts += [
            _requests_part(window),
            _jobs_part(stats, processes),
            _processes_part(processes),
            _cache_part(figures, settings),
            _limits_part(figures),
        ]
        worst = next((kind for kind in ("bad", "warn") if any(part.kind == kind for part in parts)), "ok")
        return layout.page(
            request,
            "overview.html",
            parts=parts,
            worst=worst,
            window=window,
            total=window.total,
            states=_by_state(stats),
            processes=processes,
            figures=figures,
        )


async def _database_part(database: Database, migrations: Migrations, figures: Figures) -> Part:
    kind = "PostgreSQL" if database.dialect == "postgresql" else "SQLite"
    try:
        fault = await schema_fault(migrations, database)
    except ServiceUnavailable as error:
        return Part("Database", "bad", error.detail)
    if fault:
        return Part("Database", "bad", fault, f"{ROOT}/migrations")
    if figures.total("restwell_db_pool_breaker_open"):
        return Part("Database", "bad", f"{kind}: connections fail, so requests are refused", f"{ROOT}/limits")
    waiting = figures.total("restwell_db_pool_waiting")
    if waiting > figures.total("restwell_db_pool_size"):  # fewer wait for less than the time of one statement
        return Part("Database", "warn", f"{kind}: requests that wait for a connection: {waiting:.0f}", f"{ROOT}/limits")
    return Part("Database", "ok", f"{kind}, the schema fits this release", f"{ROOT}/migrations")


def _requests_part(window: RateWindow) -> Part:
    failed, requests = window.failed, window.requests
    path = f"{ROOT}/requests?sort=errors"
    if not failed:
        return Part("Requests", "ok", "no errors in the last minutes", f"{ROOT}/requests")
    kind = "bad" if failed > MANY_FAILED * requests else "warn"
    return Part("Requests", kind, f"{failed:,} of {requests:,} failed in the last minutes", path)


def _jobs_part(stats: list[QueueStats], processes: list[ReportedProcess]) -> Part:
    now = datetime.now(UTC)
    states = _by_state(stats)
    late = [each.queue for each in stats if each.state == JobState.READY and _is_older(each.oldest, now - LATE)]
    path = f"{ROOT}/jobs"
    if late:
        text = f"wait for more than a minute in {', '.join(sorted(late))}"
        runs_jobs = any(each.facts.kind == "worker" for each in processes)
        return Part("Jobs", "bad", text if runs_jobs else f"{text}; no worker runs on this machine", path)
    if dead := states.get(JobState.DEAD):
        return Part("Jobs", "warn", f"failed in every attempt: {dead:,}", path)
    if parked := states.get(JobState.PARKED):
        return Part("Jobs", "warn", f"wait for a release that knows them: {parked:,}", path)
    return Part("Jobs", "ok", "none has failed or waits", path)


def _processes_part(processes: list[ReportedProcess]) -> Part:
    path = f"{ROOT}/workers"
    if late := [str(each.facts.pid) for each in processes if each.is_late]:
        return Part("Workers", "bad", f"do not respond: {', '.join(late)}", path)
    since = datetime.now(UTC) - RECENTLY
    blocks = [block for each in processes for block in each.blocks if block.at > since]
    if blocks:
        longest = max(block.seconds for block in blocks)
        text = f"blocked event loops in the last minutes: {len(blocks)}, for up to {longest * 1e3:,.0f} ms"
        return Part("Workers", "warn", text, path)
    return Part("Workers", "ok", "all processes respond, and no event loop was blocked", path)


def _cache_part(figures: Figures, settings: Settings) -> Part:
    path = f"{ROOT}/cache"
    if settings.cache == "off":
        return Part("Cache", "ok", "off", path)
    if not figures.total("restwell_cache_up"):
        return Part("Cache", "warn", "not used: reads go to the database", path)
    return Part("Cache", "ok", "in use", path)


def _limits_part(figures: Figures) -> Part:
    path = f"{ROOT}/limits"
    if figures.total("restwell_rate_limits_degraded"):
        return Part("Limits", "warn", "count only on this machine: Redis is unreachable", path)
    if shed := figures.total("restwell_requests_shed"):
        return Part("Limits", "warn", f"requests refused under overload since the start: {shed:,.0f}", path)
    return Part("Limits", "ok", "no request was refused under overload", path)


def _is_older(moment: datetime | None, limit: datetime) -> bool:
    return moment is not None and moment < limit


def _by_state(stats: list[QueueStats]) -> dict[str, int]:
    states: dict[str, int] = {}
    for each in stats:
        states[each.state] = states.get(each.state, 0) + each.count
    return states


PAGE: Final = OpsPage("Overview", OverviewController)
