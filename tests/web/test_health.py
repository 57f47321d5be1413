"""Liveness and readiness checks."""

import httpx
from sqlalchemy import column, table, update

from api_client import assert_problem
from restwell.database import Database, Migrations, open_database, param, query
from restwell.settings import Settings
from restwell.testing import running
from tiny.app import MIGRATIONS, create_app

history = table("restwell_migrations", column("package"), column("revision"))
set_revision = query("test.set", update(history).where(history.c.package == "application").values(revision=param("to")))


async def test_an_application_is_ready_on_a_migrated_database(tiny: httpx.AsyncClient) -> None:
    assert (await tiny.get("/health/live")).json() == {"status": "live"}
    assert (await tiny.get("/health/ready")).json() == {
        "status": "ready",
        "database": "sqlite",
        "schema": Migrations(MIGRATIONS).head,
    }


async def test_an_application_is_live_but_not_ready_before_the_migrations(tiny_settings: Settings) -> None:
    async with running(create_app(tiny_settings)) as client:
        answer = await client.get("/health/ready")
        assert_problem(answer, 503, "not_ready")
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/health/live")).status_code == 200


async def test_an_application_is_not_ready_on_the_schema_of_another_release(
    tiny: httpx.AsyncClient, tiny_settings: Settings
) -> None:
    database: Database
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await database.run(set_revision, to="0000_other")
    assert_problem(await tiny.get("/health/ready"), 503, "not_ready")
