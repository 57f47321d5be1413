"""Prometheus metrics of jobs: attempts of this process, and queue statistics from the table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.jobs._rows import QueueStats
from restwell.jobs._tables import JobState


class JobCollector(Collector):
    """Counts attempts by outcome.

    Outcomes are ``done``, ``failed``, ``dead``, ``parked`` (this release does not know the job) and ``lost`` (the
    lease was lost).
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.seconds: Counter[str] = Counter()

    def count(self, job: str, outcome: str, seconds: float) -> None:
        self.attempts[job, outcome] += 1
        self.seconds[job] += seconds  # type: ignore[assignment]  # a Counter takes floats too

    def collect(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("restwell_jobs_attempts", "Attempts of jobs.", labels=["job", "outcome"])
        for (job, outcome), count in list(self.attempts.items()):
            attempts.add_metric([job, outcome], count)
        yield attempts
        seconds = CounterMetricFamily(
            "restwell_jobs_attempt_seconds", "Seconds spent in attempts of jobs.", labels=["job"]
        )
        for job, total in list(self.seconds.items()):
            seconds.add_metric([job], total)
        yield seconds


def queue_metrics(stats: Iterable[QueueStats]) -> Iterator[Metric]:
    """Gauges from the table. They are global: do not sum them over processes."""
    count = GaugeMetricFamily(
        "restwell_jobs_backlog", "Jobs that are scheduled, ready, running, parked or dead.", labels=["queue", "state"]
    )
    age = GaugeMetricFamily("restwell_jobs_oldest_ready_seconds", "Age of the oldest ready job.", labels=["queue"])
    now = datetime.now(UTC)
    for one in stats:
        count.add_metric([one.queue, one.state], one.count)
        if one.state == JobState.READY:
            age.add_metric([one.queue], max(0.0, (now - one.oldest).total_seconds()))
    yield count
    yield age
