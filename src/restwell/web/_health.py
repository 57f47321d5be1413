"""Liveness and readiness checks, and the Prometheus endpoint ``/metrics``. None has a rate limit.

An orchestrator restarts the process if ``live`` fails, and sends it no requests while ``ready`` fails. ``live`` asks no
dependency, and succeeds while the server drains.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Final

from msgspec import Struct
from prometheus_client.metrics_core import Metric

from restwell.database import Database, Migrations
from restwell.edge._drain import Drain
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.jobs import Jobs, QueueStats
from restwell.jobs._metrics import queue_metrics
from restwell.observability._metrics import MEDIA_TYPE, OPENMETRICS_TYPE, Metrics
from restwell.web._declarations import Handler, get
from restwell.web._parameters import Header
from restwell.web._responses import Response

HEALTH_PATHS: Final = ("/health/live", "/health/ready", "/metrics")
"""Paths that are never rejected under overload."""


class Liveness(Struct, frozen=True):
    """The process runs."""

    status: str


class Readiness(Struct, frozen=True):
    """The process can serve requests. ``database`` is the kind of database, ``schema`` its newest migrations."""

    status: str
    database: str
    schema: str


class NotReady(ServiceUnavailable):
    code, message = "not_ready", "Not ready: the database schema does not match this release."


_STOPPING: Final = "Not ready: the server is stopping."


def health_routes(
    database: Database,
    migrations: Migrations,
    metrics: Metrics,
    jobs: Jobs,
    event_metrics: Callable[[], Awaitable[list[Metric]]],
    drain: Drain,
) -> list[Handler]:
    @get("/health/live", tags=["Health"], rate_limit=None)
    async def live() -> Liveness:
        """Check liveness.

        Succeeds while the process runs.
        """
        return Liveness("live")

    @get("/health/ready", tags=["Health"], rate_limit=None, raises=[NotReady])
    async def ready() -> Readiness:
        """Check readiness.

        Succeeds while the database is reachable and its schema matches this release, until the server stops.
        """
        if drain.is_stopping():
            raise NotReady(_STOPPING)
        try:
            await migrations.check(database)
        except ConfigurationError as error:
            raise NotReady from error
        return Readiness("ready", database.dialect, migrations.head)

    @get(
        "/metrics",
        include_in_schema=False,
        rate_limit=None,
        media_type=MEDIA_TYPE,
        query_budget={"events.unread": 1_000},  # once for each consumer
    )
    async def read_metrics(accept: Annotated[str | None, Header("Accept")] = None) -> Response[bytes]:
        stats: list[QueueStats] = []
        queues: dict[str, bool] = {}
        if any("." not in name for name in jobs.registered):  # without jobs of its own, it may have no tables
            with suppress(ServiceUnavailable):  # the other metrics are needed most while the database is down
                stats = await jobs.queue_stats()
                paused = await jobs.paused_queues()
                known = {*(job.queue for job in jobs.registered.values()), *paused}
                queues = {queue: queue in paused for queue in sorted(known)}
        events: list[Metric] = []
        with suppress(ServiceUnavailable):  # as above
            events = await event_metrics()
        openmetrics = "application/openmetrics-text" in (accept or "")
        return Response(
            content=await metrics.exposition([*queue_metrics(stats, queues), *events], openmetrics=openmetrics),
            media_type=OPENMETRICS_TYPE if openmetrics else MEDIA_TYPE,
            headers={"vary": "Accept"},
        )

    return [live, ready, read_metrics]
