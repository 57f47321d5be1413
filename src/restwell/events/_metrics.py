"""Prometheus metrics of consumers, from the tables. They are global: do not sum them over processes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from prometheus_client.metrics_core import Metric

from restwell.events._status import ConsumerStatus
from restwell.observability._metric_families import define_gauge

UNREAD: Final = define_gauge(
    "restwell_events_unread", "Events of this database that the consumer has not applied.", "consumer"
)
OLDEST_UNREAD: Final = define_gauge(
    "restwell_events_oldest_unread_seconds",
    "Age of the oldest event of this database that the consumer has not applied; 0 without one.",
    "consumer",
)
FAILING: Final = define_gauge(
    "restwell_events_failing", "Events that the consumer could not apply so far. Others wait for them.", "consumer"
)


def consumer_metrics(statuses: Sequence[ConsumerStatus]) -> Iterator[Metric]:
    now = datetime.now(UTC)
    local = [one for one in statuses if one.unread is not None]
    ages = {
        one.name: max(0.0, (now - one.oldest_at).total_seconds()) if one.oldest_at is not None else 0.0 for one in local
    }
    yield UNREAD.family({one.name: one.unread or 0 for one in local})
    yield OLDEST_UNREAD.family(ages)
    yield FAILING.family({one.name: len(one.failing) for one in statuses})
