"""The Prometheus metrics of connection pools and queries."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from restwell.database import Database, DatabaseBusy, open_database, query
from restwell.database._metrics import DatabaseCollector

one = query("test.metrics_one", text("SELECT 1"), into=int)
sleep = query("test.metrics_sleep", text("SELECT count(pg_sleep(30))"), into=int)


def registry_of(database: Database) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(database))
    return registry


async def test_the_executions_and_seconds_of_each_query_are_counted(empty_url: str) -> None:
    async with open_database(empty_url) as database:
        registry = registry_of(database)
        label = {"db_query_summary": "test.metrics_one", "db_system_name": database.dialect}
        name = "db_client_operation_duration_seconds"
        executions = registry.get_sample_value(f"{name}_count", label) or 0
        seconds = registry.get_sample_value(f"{name}_sum", label) or 0
        for _ in range(3):
            await database.one(one)
        assert registry.get_sample_value(f"{name}_count", label) == executions + 3
        assert registry.get_sample_value(f"{name}_bucket", {**label, "le": "+Inf"}) == executions + 3
        assert (registry.get_sample_value(f"{name}_sum", label) or 0) > seconds


async def test_the_state_of_the_pool_and_its_failures_are_counted(postgres_server: str) -> None:
    """Seen to fail: a statement that the server cancelled at its timeout was not counted."""
    async with open_database(postgres_server, pool_size=1, timeout_seconds=1) as database:
        registry = registry_of(database)

        def metric(name: str) -> float | None:
            return registry.get_sample_value(f"restwell_db_pool_{name}", {"server": "primary"})

        async with database.transaction():
            waiting = asyncio.create_task(database.one(one))
            while not metric("waiting"):
                await asyncio.sleep(0)
            assert [metric(name) for name in ("size", "open", "in_use", "waiting", "breaker_open")] == [1, 1, 1, 1, 0]
            with pytest.raises(DatabaseBusy):
                await waiting
        with pytest.raises(DatabaseBusy):
            await database.one(sleep)
        async with asyncio.timeout(10):
            while metric("in_use"):  # until the cancelled statement has ended
                await asyncio.sleep(0.01)
        assert metric("waiting") == 0
        assert [metric(f"{name}_total") for name in ("waits", "wait_timeouts", "statement_timeouts", "failures")] == [
            *(1, 1, 1, 0)
        ]
        assert (metric("wait_seconds_total") or 0) >= 0.35
