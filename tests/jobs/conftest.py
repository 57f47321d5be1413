"""The jobs harness on each database. Notifications go through the database; the tests of notifiers use each broker."""

from collections.abc import AsyncIterator

import pytest

import sample_jobs
from jobs_harness import JobsHarness, open_harness


@pytest.fixture
def broker_url() -> str | None:
    """None for notifications through the database."""
    return None


@pytest.fixture
async def harness(empty_url: str, broker_url: str | None) -> AsyncIterator[JobsHarness]:
    async with open_harness(empty_url, sample_jobs.ALL, broker_url) as made:
        yield made
