"""Job administration over HTTP and on the command line."""

import asyncio
from uuid import UUID

import httpx
import pytest

from api_client import assert_problem
from restwell import App
from restwell.ids import new_id
from restwell.jobs import JobState
from restwell.testing import finish_jobs
from servers import ROOT, restwell
from shop.settings import ShopSettings
from shop_client import ShopClient

NEW = {"email": "ada@example.com", "password": "a long enough one", "name": "Ada Lovelace"}


@pytest.fixture
async def dead(app: App, client: httpx.AsyncClient) -> UUID:
    """A dead job: the welcome email of a new user, with invalid arguments."""
    answer = await client.post("/v1/users", json=NEW, headers={"x-request-id": "of-the-registration"})
    assert answer.status_code == 201
    (waiting,) = await app.kit.jobs.list_jobs(JobState.READY, 5)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("""UPDATE jobs SET max_attempts = 1, arguments = '{"user_id": "no id"}'""")
    await finish_jobs(app)
    return waiting.id


@pytest.mark.slow
async def test_an_admin_lists_retries_and_discards_a_dead_job_over_http(admin: ShopClient, dead: UUID) -> None:
    page = (await admin.get("/v1/jobs")).json()
    assert [(job["id"], job["state"], job["attempts"]) for job in page["items"]] == [(str(dead), "dead", 1)]
    found = (await admin.get(f"/v1/jobs/{dead}")).json()
    assert found["request_id"] == "of-the-registration"
    assert list(found["arguments"]) == ["user_id"]
    assert found["failures"][0]["error"].startswith("UnreadableArguments: Invalid UUID - at `$.user_id`")

    retried = await admin.send("POST", f"/v1/jobs/{dead}/retry")
    assert (retried.status_code, retried.json()["state"], retried.json()["attempts"]) == (202, "ready", 0)
    assert_problem(await admin.send("POST", f"/v1/jobs/{dead}/retry"), 409, "job_not_dead")
    assert_problem(await admin.send("DELETE", f"/v1/jobs/{dead}"), 409, "job_unfinished")
    cancelled = await admin.send("POST", f"/v1/jobs/{dead}/cancellation")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await admin.send("DELETE", f"/v1/jobs/{dead}")).status_code == 204
    for method, path in (("GET", ""), ("POST", "/retry"), ("POST", "/cancellation"), ("DELETE", "")):
        assert_problem(await admin.send(method, f"/v1/jobs/{dead}{path}"), 404, "not_found")


@pytest.mark.slow
@pytest.mark.parametrize("state", ["ready", "cancelled"])
async def test_the_list_of_jobs_is_read_page_by_page(admin: ShopClient, app: App, state: str) -> None:
    for number in range(5):
        await admin.client.post("/v1/users", json={**NEW, "email": f"ada{number}@example.com"})
    if state == "cancelled":
        for job in await app.kit.jobs.list_jobs(JobState.READY, 10):
            await app.kit.jobs.cancel(job.id)
    seen: list[str] = []
    path = f"/v1/jobs?state={state}&limit=2"
    while path:
        answer = await admin.get(path)
        seen += [job["id"] for job in answer.json()["items"]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert len(seen) == 5
    assert len(set(seen)) == 5
    if state == "ready":
        assert seen == sorted(seen, reverse=True)


def environment(settings: ShopSettings) -> dict[str, str]:
    return {"DATABASE_URL": settings.database.url.get_secret_value()}


async def run_command(settings: ShopSettings, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(restwell, "jobs", *arguments, cwd=ROOT, **environment(settings))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.integration
async def test_an_operator_lists_retries_and_discards_dead_jobs_on_the_command_line(
    settings: ShopSettings, dead: UUID, app: App
) -> None:
    code, text = await run_command(settings, "list")
    assert code == 0
    assert f"{dead}" in text
    assert "UnreadableArguments: Invalid UUID - at `$.user_id`" in text
    assert text.endswith("1 dead in mail\n")
    code, text = await run_command(settings, "show", str(dead))
    assert code == 0
    assert "attempt 1 failed at" in text
    assert "of-the-registration" in text

    assert await run_command(settings, "retry", f"{dead}") == (0, "1 retried\n")
    assert (await app.kit.jobs.get(dead)).state == "ready"
    assert await run_command(settings, "list", "--state=dead") == (0, "1 ready in mail\n")
    assert await run_command(settings, "cancel", str(dead)) == (0, "1 cancelled\n")
    assert await run_command(settings, "retry", str(dead)) == (0, "1 retried\n")
    assert await run_command(settings, "retry", str(dead)) == (
        2,
        "restwell: Only a dead or cancelled job can be retried.\n",
    )
    await run_command(settings, "cancel", str(dead))
    assert await run_command(settings, "discard", str(dead)) == (0, "1 discarded\n")
    assert await run_command(settings, "show", str(new_id())) == (2, "restwell: The resource does not exist.\n")
    assert await run_command(settings, "retry") == (
        2,
        "restwell: give the ids of jobs, or --state, --queue or --name for all jobs that match\n",
    )
    assert await run_command(settings, "list") == (0, "no jobs are scheduled, ready, running, parked or dead\n")


@pytest.mark.slow
async def test_one_of_several_concurrent_deletes_of_a_job_succeeds_and_the_others_get_a_404(admin: ShopClient) -> None:
    assert (await admin.send("POST", "/v1/users", NEW)).status_code == 201
    path = f"/v1/jobs/{(await admin.get('/v1/jobs?state=ready')).json()['items'][0]['id']}"
    assert (await admin.send("POST", f"{path}/cancellation")).status_code == 200
    answers = await asyncio.gather(*(admin.send("DELETE", path) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [204, 404, 404, 404]
