"""Prometheus metrics of jobs: attempts of this process, and queue statistics from the table."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.jobs._rows import QueueStats
from restwell.jobs._tables import JobState
from restwell.observability._metric_families import counter, gauge


class JobCollector(Collector):
    """Counts attempts by outcome.

    Outcomes are ``done``, ``failed``, ``dead``, ``parked`` (this release does not know the job) and ``lost`` (the
    lease was lost).
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, job: str, outcome: str, seconds: float) -> None:
        self.attempts[job, outcome] += 1
        self.seconds[job] += seconds

    def collect(self) -> Iterator[Metric]:
        yield counter("restwell_jobs_attempts", "Attempts of jobs.", self.attempts, ["job", "outcome"])
        yield counter("restwell_jobs_attempt_seconds", "Seconds spent in attempts of jobs.", self.seconds, ["job"])


def queue_metrics(stats: Sequence[QueueStats]) -> Iterator[Metric]:
    """Gauges from the table. They are global: do not sum them over processes."""
    now = datetime.now(UTC)
    counts = {(one.queue, one.state): one.count for one in stats}
    ages = {one.queue: max(0.0, (now - one.oldest).total_seconds()) for one in stats if one.state == JobState.READY}
    text = "Jobs that are scheduled, ready, running, parked or dead."
    yield gauge("restwell_jobs_backlog", text, counts, ["queue", "state"])
    yield gauge("restwell_jobs_oldest_ready_seconds", "Age of the oldest ready job.", ages, ["queue"])
