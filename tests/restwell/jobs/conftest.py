"""The harness on each database, with each way to tell workers of work."""

from collections.abc import AsyncIterator

import pytest

import sample_jobs
from jobs_harness import JobsHarness, open_harness


@pytest.fixture(params=["itself", "redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """None: the database's own way."""
    if request.param == "itself":
        return None
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "rabbit_url")
    return url


@pytest.fixture
async def harness(empty_url: str, broker_url: str | None) -> AsyncIterator[JobsHarness]:
    async with open_harness(empty_url, sample_jobs.ALL, broker_url) as made:
        yield made
