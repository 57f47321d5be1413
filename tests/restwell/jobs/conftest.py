"""The rig on each database, with each way to tell workers of work."""

from collections.abc import AsyncIterator

import pytest

import sample_jobs
from jobs_rig import Rig, rig_on


@pytest.fixture(params=["itself", "redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """None: the database's own way."""
    if request.param == "itself":
        return None
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "rabbit_url")
    return url


@pytest.fixture
async def rig(empty_url: str, broker_url: str | None) -> AsyncIterator[Rig]:
    async with rig_on(empty_url, sample_jobs.ALL, broker_url) as made:
        yield made
