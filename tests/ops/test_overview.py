"""The overview says whether all is well."""

from datetime import UTC, datetime, timedelta
from socket import gethostname

import pytest
from msgspec import convert

from ops_app import FormBrowser
from restwell import App
from restwell.database import Migrations
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.jobs import JobState
from restwell.jobs._rows import QueueStats
from restwell.observability._process_reports import ProcessFacts
from restwell.ops import _overview as overview
from restwell.ops._figures import Figures
from restwell.ops._request_rates import RateWindow, RouteRequests
from restwell.ops._workers import ReportedProcess
from restwell.settings import Settings


async def test_a_new_server_is_well(admin: FormBrowser) -> None:
    page = await admin.open("/ops")
    assert "All is well" in page or "blocked event loops" in page, "the latter on a busy machine"
    assert "the schema fits this release" in page
    assert f"all processes on <strong>{gethostname()}</strong>" in page


def stats(state: JobState, oldest: datetime) -> QueueStats:
    values = {"queue": "mail", "state": state, "count": 3, "at_least": False, "oldest": oldest}
    return convert(values, QueueStats)


def test_each_part_says_what_is_wrong() -> None:
    """Each part is well without a reason, and each reason makes it a warning or worse."""
    now = datetime.now(UTC)
    worker = ReportedProcess(ProcessFacts(1, "worker", "1", "3", now, now, 1), [])
    late = [stats(JobState.READY, now - timedelta(minutes=2))]
    assert overview._jobs_part([], []).kind == "ok"
    assert overview._jobs_part([stats(JobState.READY, now)], []).kind == "ok"
    assert overview._jobs_part(late, [worker]) == overview.Part(
        "Jobs", "bad", "wait for more than a minute in mail", "/ops/jobs"
    )
    assert overview._jobs_part(late, []).text.endswith("in mail; no worker runs on this machine")
    assert overview._jobs_part([stats(JobState.DEAD, now)], []).text == "failed in every attempt: 3"
    assert overview._jobs_part([stats(JobState.PARKED, now)], []).kind == "warn"
    few, many = ([RouteRequests("GET", "/", [1_000], 1.0, failed)] for failed in (1, 100))
    assert overview._requests_part(RateWindow(60, few, [])).kind == "warn"
    assert overview._requests_part(RateWindow(60, many, [])).kind == "bad"
    assert overview._cache_part(Figures({}), Settings()).kind == "warn"
    assert overview._cache_part(Figures({}), Settings(cache="off")).kind == "ok"
    for name in ("restwell_rate_limits_degraded", "restwell_requests_shed"):
        assert overview._limits_part(Figures({name: [({}, 1.0)]})).kind == "warn"


async def test_a_database_that_is_down_or_old_is_wrong(
    app: App, admin: FormBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations, database = app.migrations, app.kit.database
    for breaker, waiting, size, kind in (
        (1.0, 0.0, 3.0, "bad"),
        (0.0, 4.0, 3.0, "warn"),
        (0.0, 2.0, 3.0, "ok"),  # a few wait for a moment under any load
    ):
        values = {"breaker_open": breaker, "waiting": waiting, "size": size}
        figures = Figures({f"restwell_db_pool_{name}": [({}, value)] for name, value in values.items()})
        assert (await overview._database_part(database, migrations, figures)).kind == kind
    for error in (ServiceUnavailable("It is down."), ConfigurationError(["run restwell migrate"])):

        async def check(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Migrations, "check", check)
        page = await admin.open("/ops")
        assert "Something is wrong" in page
        assert ("It is down." in page) or ("run restwell migrate" in page)
