"""Metrics of several workers, aggregated by the worker that serves the scrape."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pydantic import SecretStr
from structlog.testing import capture_logs

from restwell.database import Migrations, open_database
from restwell.observability import _metrics as metrics_module
from restwell.observability._metrics import Metrics
from restwell.settings import DatabaseSettings, Settings
from restwell.testing import running
from tiny.app import MIGRATIONS, create_app

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_in(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def scrape(metrics: Metrics) -> Samples:
    return samples_in((await metrics.exposition()).decode())


def worker(folder: Path, count: int) -> Metrics:
    made = Metrics(folder)
    Counter("orders", "Orders.", ["kind"], registry=made.registry).labels("retail").inc(count)
    Gauge("connections", "Connections.", registry=made.registry).set(count)
    Histogram("seconds", "Time.", buckets=(1, 10), registry=made.registry).observe(count)
    return made


async def test_each_worker_reports_the_metrics_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when each worker reports only its own metrics: the values then depend on the worker that is scraped."""
    monkeypatch.setattr(metrics_module, "PUBLISH_SECONDS", 0.01)
    workers = [worker(tmp_path, count) for count in (2, 3, 20)]
    for one in workers:
        await one.start()
    async with asyncio.timeout(30):
        while [value(await scrape(one), "connections") for one in workers] != [25] * 3:
            await asyncio.sleep(0.01)
    for one in workers:
        samples = await scrape(one)
        assert value(samples, "orders_total", kind="retail") == 25
        assert value(samples, "seconds_count") == 3
        assert value(samples, "seconds_bucket", le="10.0") == 2
    for one in workers:
        await one.close()


async def test_an_unwritable_metrics_folder_stops_no_worker(tmp_path: Path) -> None:
    """Breaks when a full disk or a deleted folder prevents the start or the shutdown of a worker."""
    one = worker(tmp_path / "gone", 5)
    await one.start()
    assert value(await scrape(one), "orders_total", kind="retail") == 5
    await one.close()


class Broken(Collector):
    def collect(self) -> Iterator[Metric]:
        yield Metric("half", "Half of its metrics.", "gauge")
        raise RuntimeError("the collector of an application")


async def test_a_collector_that_raises_is_logged_once_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if an exception of a collector ends the task that publishes, or makes each scrape a 500."""
    monkeypatch.setattr(metrics_module, "PUBLISH_SECONDS", 0.01)
    one, other = worker(tmp_path, 5), worker(tmp_path, 1)
    broken = Broken()
    with capture_logs() as lines:
        await one.start()
        one.registry.register(broken)
        late = Counter("late", "Counted after the failure.", registry=one.registry)
        assert value(await scrape(one), "late_total") == 0
        late.inc()
        async with asyncio.timeout(30):
            while ("late_total", frozenset()) not in (found := await scrape(other)) or value(found, "late_total") != 1:
                await asyncio.sleep(0.01)
    assert [(line["event"], line["collector"]) for line in lines] == [("collector_failed", "Broken")]
    one.registry.unregister(broken)
    await one.close()


async def test_a_worker_publishes_its_last_counts_at_shutdown(tmp_path: Path) -> None:
    one, other = worker(tmp_path, 5), worker(tmp_path, 1)
    await one.start()
    Counter("late", "Counted after the start.", registry=one.registry).inc()
    await one.close()
    samples = await scrape(other)
    assert value(samples, "late_total") == 1
    assert value(samples, "connections") == 1


async def test_a_single_worker_needs_no_metrics_folder() -> None:
    single = Metrics(None)
    await single.start()
    Counter("orders", "Orders.", registry=single.registry).inc()
    assert value(await scrape(single), "orders_total") == 1
    await single.close()


async def test_metrics_count_the_executions_of_each_query_and_the_connections_of_the_pool(
    empty_url: str, backend: str, tiny_settings: Settings
) -> None:
    async with open_database(empty_url) as database:
        await Migrations(MIGRATIONS).upgrade(database)
    settings = tiny_settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(empty_url))})
    async with running(create_app(settings)) as client:
        before = samples_in((await client.get("/metrics")).text)
        for limit in (1, 2, 3):  # different limits, so that no response is cached
            assert (await client.get(f"/v1/notes?limit={limit}")).status_code == 200
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    after = samples_in(answer.text)
    labels = {"db_query_summary": "notes.list", "db_system_name": backend}
    name = "db_client_operation_duration_seconds"
    key = (f"{name}_count", frozenset(labels.items()))
    assert after[key] - before.get(key, 0) == 3
    assert value(after, f"{name}_sum", **labels) > 0
    if backend == "postgresql":
        assert value(after, "restwell_db_pool_size", server="primary") == 10
        assert value(after, "restwell_db_pool_open", server="primary") >= 1
        assert value(after, "restwell_db_pool_breaker_open", server="primary") == 0
