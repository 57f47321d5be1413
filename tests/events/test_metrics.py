"""The Prometheus metrics of consumers."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from events_app.app import add_count
from restwell import App
from restwell.events._metrics import consumer_metrics
from restwell.events._status import ConsumerStatus, FailingEvent


def test_each_consumer_has_its_gauges() -> None:
    """Fails if a consumer without unread events has no age: an alert would not know that all is well."""
    ago = datetime.now(UTC) - timedelta(minutes=5)
    failing = [FailingEvent("counts:3:1", 2, "ValueError")]
    statuses = [
        ConsumerStatus("behind", "counts", 7, ago, failing),
        ConsumerStatus("remote", "prices", None, None, failing),
        ConsumerStatus("up_to_date", "counts", 0, None, []),
    ]
    unread, age, failed = [
        {sample.labels["consumer"]: sample.value for sample in family.samples} for family in consumer_metrics(statuses)
    ]
    assert unread == {"behind": 7, "up_to_date": 0}
    assert (age["behind"] >= 300, age["up_to_date"], len(age)) == (True, 0, 2)
    assert failed == {"behind": 1, "remote": 1, "up_to_date": 0}


async def test_a_scrape_has_the_metrics_of_the_consumers(app: App, client: httpx.AsyncClient) -> None:
    async with app.kit.database.transaction() as tx:
        await add_count(tx, app.kit.events, "a")
    assert 'restwell_events_unread{consumer="recorder"} 1.0' in (await client.get("/metrics")).text
    await app.kit.consumers.apply_all()
    metrics = (await client.get("/metrics")).text
    for name in ("unread", "oldest_unread_seconds", "failing"):
        assert f'restwell_events_{name}{{consumer="recorder"}} 0.0' in metrics


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_scrape_has_the_other_metrics_while_the_database_is_down(app: App, client: httpx.AsyncClient) -> None:
    """Fails if a scrape is an error then: the metrics are needed most."""
    await app.kit.database.close()
    metrics = await client.get("/metrics")
    assert metrics.status_code == 200
    assert "http_server_request_duration_seconds" in metrics.text
    assert 'consumer="recorder"' not in metrics.text
