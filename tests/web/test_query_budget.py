"""N+1 detection: a query in a loop fails the test, is logged once, and is counted."""

import httpx
import pytest
from structlog.testing import capture_logs

from restwell.database import Migrations, open_database
from restwell.settings import Settings
from restwell.testing import running
from tiny.app import MIGRATIONS, add_note, create_app


@pytest.fixture
async def with_notes(tiny_settings: Settings) -> Settings:
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await Migrations(MIGRATIONS).upgrade(database)
        await database.run_many(add_note, [{"text": str(number)} for number in range(3)])
    return tiny_settings


async def texts(client: httpx.AsyncClient, path: str) -> list[str]:
    return [note["text"] for note in (await client.get(path)).json()["items"]]


async def test_an_n_plus_one_query_fails_the_test_and_names_query_route_and_remedy(with_notes: Settings) -> None:
    """Breaks when the queries of a request are not counted: the test client then closes without an error."""
    with pytest.raises(AssertionError) as raised:  # raised at the end of the block
        async with running(create_app(with_notes)) as client:
            assert await texts(client, "/v1/notes/one-by-one") == ["0", "1", "2"]
    message = str(raised.value)
    assert "GET /v1/notes/one-by-one ran notes.by_id 3 times in one request; the budget is 1" in message
    assert "batch_on=" in message
    assert 'query_budget={"notes.by_id": 3}' in message


async def test_declared_repeats_and_batched_reads_are_within_the_budget(with_notes: Settings) -> None:
    async with running(create_app(with_notes)) as client:
        for path in ("/v1/notes/one-by-one-on-purpose", "/v1/notes/together", "/v1/notes"):
            assert await texts(client, path) == ["0", "1", "2"]
            assert await texts(client, path) == ["0", "1", "2"], "the budget is per request"


async def test_an_exceeded_budget_is_logged_once_and_counted_always(with_notes: Settings) -> None:
    app = create_app(with_notes)
    with pytest.raises(AssertionError), capture_logs() as lines:  # as above
        async with running(app) as client:
            for _ in range(3):
                await texts(client, "/v1/notes/one-by-one")
    warnings = [line for line in lines if line["event"] == "query_budget_exceeded"]
    assert [(line["route"], line["query"], line["times"]) for line in warnings] == [
        ("/v1/notes/one-by-one", "notes.by_id", 3)
    ]
    (violation,) = app.query_budget.violations.values()
    assert (violation.requests, violation.times) == (3, 3)


async def test_an_unknown_route_has_no_query_budget(with_notes: Settings) -> None:
    async with running(create_app(with_notes)) as client:
        assert (await client.get("/nothing")).status_code == 404
