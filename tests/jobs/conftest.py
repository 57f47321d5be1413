"""The jobs harness on each database and with each notifier."""

from collections.abc import AsyncIterator

import pytest

import sample_jobs
from jobs_harness import JobsHarness, open_harness


@pytest.fixture(params=["database", "redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """None for notifications through the database."""
    if request.param == "database":
        return None
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "rabbit_url")
    return url


@pytest.fixture
async def harness(empty_url: str, broker_url: str | None) -> AsyncIterator[JobsHarness]:
    async with open_harness(empty_url, sample_jobs.ALL, broker_url) as made:
        yield made
