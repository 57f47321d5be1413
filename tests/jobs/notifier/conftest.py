"""The jobs harness on each database and with each notifier."""

import pytest


@pytest.fixture(params=["database", "redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """None for notifications through the database."""
    if request.param == "database":
        return None
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "rabbit_url")
    return url
