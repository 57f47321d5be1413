"""Prometheus metrics of jobs: attempts of this process, and queue statistics from the table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.jobs._rows import QueueStats
from restwell.observability._metric_families import Histogram, define_gauge, define_histogram

ATTEMPT_DURATION: Final = define_histogram(
    "restwell_jobs_attempt_duration_seconds",
    "Duration of attempts of jobs, by outcome: done, failed, dead, parked or lost.",
    "job_name",
    "outcome",
    bounds=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
)
BACKLOG: Final = define_gauge(
    "restwell_jobs_backlog",
    "Jobs that are scheduled, ready, running, parked or dead. Counts at most 10000 of a state.",
    "queue",
    "state",
)
OLDEST_READY: Final = define_gauge("restwell_jobs_oldest_ready_seconds", "Age of the oldest ready job.", "queue")
QUEUE_PAUSED: Final = define_gauge("restwell_jobs_queue_paused", "Whether the queue is paused.", "queue")


class JobCollector(Collector):
    """Measures attempts by outcome.

    Outcomes are ``done``, ``failed``, ``dead``, ``parked`` (this release does not know the job) and ``lost`` (the
    lease was lost).
    """

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, str], Histogram] = {}

    def count(self, job: str, outcome: str, seconds: float) -> None:
        attempts = self._attempts.get((job, outcome))
        if attempts is None:
            attempts = self._attempts[job, outcome] = Histogram(ATTEMPT_DURATION.bounds)
        attempts.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        yield ATTEMPT_DURATION.histogram(self._attempts.items())


def queue_metrics(stats: Sequence[QueueStats], queues: Mapping[str, bool]) -> Iterator[Metric]:
    """Gauges from the table. They are global: do not sum them over processes. ``queues`` says which ones are paused."""
    now = datetime.now(UTC)
    counts = {(one.queue, one.state): one.count for one in stats}
    ages = {one.queue: max(0.0, (now - one.oldest).total_seconds()) for one in stats if one.oldest is not None}
    yield BACKLOG.family(counts)
    yield OLDEST_READY.family(ages)
    yield QUEUE_PAUSED.family({queue: float(is_paused) for queue, is_paused in queues.items()})
