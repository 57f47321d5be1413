"""Health: ``live`` says the process runs, ``ready`` that it can do its work. An orchestrator restarts on one, waits on the other.

``/metrics`` is what Prometheus reads. Neither has a rate limit: who asks is our own.
"""

from contextlib import suppress
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from restwell.database import Database, Migrations
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.jobs import Jobs, QueueStats, queue_metrics
from restwell.observability.metrics import MEDIA_TYPE, Metrics

HEALTH_PATHS: Final = ("/health/live", "/health/ready", "/metrics")
"""What is answered however much is asked for besides."""


class Liveness(Struct, frozen=True):
    status: str


class Readiness(Struct, frozen=True):
    status: str
    database: str
    schema: str


class NotReady(ServiceUnavailable):
    code, message = "not_ready", "Not ready to serve: the database's schema is not the one this release needs."


def health_routes(database: Database, migrations: Migrations, metrics: Metrics, jobs: Jobs) -> list[HTTPRouteHandler]:
    @get("/health/live", tags=["Health"], rate_limit=None)
    async def live() -> Liveness:
        """Tell whether the process runs."""
        return Liveness("live")

    @get("/health/ready", tags=["Health"], rate_limit=None, errors=[NotReady])
    async def ready() -> Readiness:
        """Tell whether requests can be served: the database answers and its schema is ours."""
        try:
            await migrations.check(database)
        except ConfigurationError as error:
            raise NotReady from error
        return Readiness("ready", database.dialect, migrations.head)

    @get("/metrics", include_in_schema=False, rate_limit=None)
    async def read_metrics() -> Response[bytes]:
        waiting: list[QueueStats] = []
        if jobs.registered:
            with suppress(ServiceUnavailable):  # the rest is wanted most when the database is away
                waiting = await jobs.queue_stats()
        return Response(await metrics.exposition(queue_metrics(waiting)), media_type=MEDIA_TYPE)

    return [live, ready, read_metrics]
