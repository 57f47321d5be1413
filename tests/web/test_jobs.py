"""The routes for operators of jobs."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api_client import assert_problem
from restwell import App, Restwell
from restwell.database import Migrations, open_database
from restwell.jobs import JobState
from restwell.settings import Settings
from restwell.testing import finish_jobs, running
from restwell.web import Feature, JobController, Version
from sample_jobs import fail_permanently, note


@pytest.fixture
async def app(tiny_settings: Settings) -> App:
    kit = Restwell(tiny_settings, name="operated")
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await Migrations().upgrade(database)
    return kit.app([Version("/v1", [Feature(controllers=[JobController], jobs=[note, fail_permanently])])])


@pytest.fixture
async def operator(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


async def enqueue(app: App, count: int = 1, *, broken: bool = False) -> None:
    async with app.kit.database.transaction() as tx:
        for number in range(count):
            if broken:
                await app.kit.jobs.enqueue(tx, fail_permanently)
            else:
                await app.kit.jobs.enqueue(tx, note, text=str(number))


async def test_a_dead_job_is_listed_with_its_failure_retried_cancelled_and_deleted(
    app: App, operator: httpx.AsyncClient
) -> None:
    """Breaks when a running or waiting job can be deleted, or a job that is not dead retried."""
    await enqueue(app, broken=True)
    await finish_jobs(app)
    [listed] = (await operator.get("/v1/jobs")).json()["items"]
    assert (listed["name"], listed["state"], listed["attempts"]) == ("fail_permanently", "dead", 1)
    path = f"/v1/jobs/{listed['id']}"
    found = (await operator.get(path)).json()
    assert (found["arguments"], found["result"]) == ({"text": "the address does not exist"}, None)
    assert [failure["error"] for failure in found["failures"]] == ["PermanentFailure: the address does not exist"]
    retried = await operator.post(f"{path}/retry")
    assert (retried.status_code, retried.json()["state"], retried.json()["attempts"]) == (202, "ready", 0)
    assert_problem(await operator.post(f"{path}/retry"), 409, "job_not_dead")
    assert_problem(await operator.delete(path), 409, "job_unfinished")
    cancelled = await operator.post(f"{path}/cancellation")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await operator.delete(path)).status_code == 204
    assert_problem(await operator.get(path), 404, "not_found")


async def test_jobs_are_listed_by_state_newest_first_page_by_page(app: App, operator: httpx.AsyncClient) -> None:
    """Breaks when a cursor of one state is accepted for another: its list would begin in the middle."""
    await enqueue(app, 5)
    seen: list[str] = []
    path = "/v1/jobs?state=ready&limit=2"
    while path:
        answer = await operator.get(path)
        seen += [job["id"] for job in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        path = answer.links["next"]["url"] if cursor else ""
        if cursor:
            other = await operator.get("/v1/jobs", params={"state": "done", "cursor": cursor})
            assert_problem(other, 400, "invalid_cursor")
    assert seen == [str(job.id) for job in await app.kit.jobs.list_jobs(JobState.READY, 10)]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    assert (await operator.get("/v1/jobs?state=dead")).json()["items"] == []
