"""What jobs do, as metrics: attempts of each job in this process, and what waits in the table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.jobs.rows import QueueStats
from restwell.jobs.tables import JobState


class JobCollector(Collector):
    """Read when it is asked for. Outcomes are ``done``, ``failed``, ``dead``, ``parked`` for a job that is not known here, and ``lost``,
    of a job that was another's in the end.
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.seconds: Counter[str] = Counter()

    def count(self, job: str, outcome: str, seconds: float) -> None:
        self.attempts[job, outcome] += 1
        self.seconds[job] += seconds  # type: ignore[assignment]  # a Counter adds up floats as well

    def collect(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("restwell_jobs_attempts", "Attempts at a job.", labels=["job", "outcome"])
        for (job, outcome), count in list(self.attempts.items()):
            attempts.add_metric([job, outcome], count)
        yield attempts
        seconds = CounterMetricFamily("restwell_jobs_attempt_seconds", "Time they took.", labels=["job"])
        for job, total in list(self.seconds.items()):
            seconds.add_metric([job], total)
        yield seconds


def queue_metrics(backlog: Iterable[QueueStats]) -> Iterator[Metric]:
    """The table's own figures, which are the same whoever asks: they are not added up over processes."""
    count = GaugeMetricFamily(
        "restwell_jobs_backlog", "Jobs that wait, run, are parked or are dead.", labels=["queue", "state"]
    )
    age = GaugeMetricFamily(
        "restwell_jobs_oldest_ready_seconds", "How long the first has been ready.", labels=["queue"]
    )
    now = datetime.now(UTC)
    for one in backlog:
        count.add_metric([one.queue, one.state], one.count)
        if one.state == JobState.READY:
            age.add_metric([one.queue], max(0.0, (now - one.oldest).total_seconds()))
    yield count
    yield age
