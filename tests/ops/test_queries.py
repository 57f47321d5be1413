"""The page of the named queries."""

import re

import httpx
import pytest
from sqlalchemy import text

from ops_app import FormBrowser
from restwell import App
from restwell.database import query
from restwell.jobs import JobState
from restwell.jobs._operation_queries import paused


def names_in(page: str) -> list[str]:
    linked = re.findall(r'<a href="/ops/queries/query\?name=[^"]+"><code>(.*?)</code></a>', page)
    return [name.replace("<wbr>", "") for name in linked]


async def test_queries_are_sorted_by_each_column_and_have_their_sql(
    app: App, admin: FormBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restwell.database._instrumentation._totals", {})  # without those of earlier tests
    for _ in range(200):
        await app.kit.jobs.list_jobs(JobState.DEAD, 1)
    page = await admin.open("/ops/queries")
    assert "jobs.finished" in names_in(page)
    assert names_in(await admin.open("/ops/queries?sort=count"))[0] == "jobs.finished"
    by_name = names_in(await admin.open("/ops/queries?sort=name"))
    assert by_name == sorted(by_name)
    for sort in ("mean", "share", "total"):
        assert set(names_in(await admin.open(f"/ops/queries?sort={sort}"))) >= set(by_name)
    assert (await admin.get("/ops/queries?sort=none")).status_code == 422
    shown = await admin.open("/ops/queries/query?name=jobs.finished")
    assert "ORDER BY jobs.finished_at DESC" in shown
    assert "Show the plan" in shown
    assert "Plan</h2>" not in shown


async def test_the_plan_of_a_query_is_made_on_demand_and_nothing_is_executed(app: App, admin: FormBrowser) -> None:
    """Breaks when the plan executes the statement: a DELETE would delete."""
    now = "0" if app.kit.database.dialect == "sqlite" else "now()"
    async with app.kit.database.transaction() as tx:
        await tx.run_script(f"INSERT INTO paused_queues (queue, paused_at) VALUES ('lamp', {now})")
    shown = await admin.open("/ops/queries/query?name=jobs.resume&plan=true")
    assert "Plan</h2>" in shown
    assert ">scales</span>" in shown
    assert "paused_queues" in shown
    assert "lamp" in [each.queue for each in await app.kit.database.all(paused)]


async def test_queries_that_were_sent_together_are_shown_each(admin: FormBrowser) -> None:
    shown = await admin.open("/ops/queries/query?name=jobs.insert%2Bjobs.cancel&plan=true")
    for name in ("jobs.insert", "jobs.cancel"):
        assert f"SQL of {name}" in shown
        assert f"Plan of {name}" in shown


@pytest.mark.parametrize("name", ["name=nothing.like.this", "name=a%2Bb"])
async def test_an_unknown_query_is_not_found(admin: FormBrowser, name: str) -> None:
    assert (await admin.get(f"/ops/queries/query?{name}")).status_code == 404


async def test_a_statement_without_a_plan_says_so(admin: FormBrowser) -> None:
    query("test.not_sql", text("NOT SQL"), into=int)
    shown = await admin.open("/ops/queries/query?name=test.not_sql&plan=true")
    assert "There is no plan" in shown


async def test_only_admins_see_queries_and_jobs(client: httpx.AsyncClient) -> None:
    for path in ("/ops/queries", "/ops/queries/query?name=jobs.find", "/ops/jobs", "/ops/jobs/list"):
        assert (await client.get(path)).status_code == 401
