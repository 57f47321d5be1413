"""Resources built by jobs become `failed` with a code if the job does not succeed, and `ready` after a retry."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import column, table, update

from restwell import App
from restwell.database import query
from restwell.jobs import JobState
from restwell.jobs._store import JobStore
from restwell.settings import FilesSettings
from restwell.testing import finish_jobs
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

break_arguments = query(
    "test.break_arguments", update(table("jobs", column("arguments"))).values(arguments='{"unknown":1}')
)
QUEUES = ("images", "reports")


@pytest.fixture
def app(settings: ShopSettings, tmp_path: Path) -> App:
    return create_app(settings.model_copy(update={"files": FilesSettings(dir=tmp_path / "files")}))


async def add_image(admin: ShopClient) -> str:
    output = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(output, "JPEG")
    product = await admin.first_product()
    answer = await admin.client.post(
        f"/v1/products/{product['id']}/images",
        files={"file": ("a.jpg", output.getvalue())},
        headers={"authorization": f"Bearer {admin.tokens['access_token']}"},
    )
    return str(answer.headers["location"])


async def create_report(admin: ShopClient) -> str:
    answer = await admin.send("POST", "/v1/reports", {"first_day": "2026-01-01", "last_day": "2026-01-01"})
    return str(answer.headers["location"])


async def all_jobs(app: App) -> list[str]:
    return [str(one.id) for state in JobState for one in await app.kit.jobs.list_jobs(state, 10)]


async def worker_killed(app: App, _admin: ShopClient) -> None:
    """The worker is killed in every attempt."""
    store = JobStore(app.kit.database, lease_seconds=-1)
    for _ in range(3):
        assert len(await store.claim(QUEUES, 2, "killed")) == 2
        await store.expire()


async def attempts_failed(app: App, _admin: ShopClient) -> None:
    store = JobStore(app.kit.database)
    for _ in range(3):
        for claimed in await store.claim(QUEUES, 2, "failing"):
            await store.fail(claimed, "OverflowError", "", -1.0, permanent=False)
        await store.promote()


async def arguments_unknown(app: App, admin: ShopClient) -> None:
    """The arguments cannot be decoded, so no handler can record the failure."""
    await app.kit.database.run(break_arguments)
    await attempts_failed(app, admin)


async def cancelled(app: App, admin: ShopClient) -> None:
    for job_id in await all_jobs(app):
        answer = await admin.send("POST", f"/v1/jobs/{job_id}/cancellation")
        assert answer.json()["state"] == "cancelled"


async def discarded(app: App, admin: ShopClient) -> None:
    await attempts_failed(app, admin)
    for job_id in await all_jobs(app):
        assert (await admin.send("DELETE", f"/v1/jobs/{job_id}")).status_code == 204


async def pruned(app: App, admin: ShopClient) -> None:
    await attempts_failed(app, admin)
    assert await JobStore(app.kit.database).prune(JobState.DEAD, -60) == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", [worker_killed, attempts_failed, arguments_unknown, cancelled, discarded, pruned])
async def test_a_resource_whose_job_will_never_succeed_is_failed(
    admin: ShopClient, app: App, end: Callable[[App, ShopClient], Awaitable[None]]
) -> None:
    """Regression: such a resource stayed `pending`."""
    resources = [await add_image(admin), await create_report(admin)]
    for where in resources:
        pending = (await admin.get(where)).json()
        assert (pending["state"], pending["failure_code"]) == ("pending", None)
    await end(app, admin)
    for where in resources:
        failed = (await admin.get(where)).json()
        assert (failed["state"], failed["failure_code"], failed["urls"]) == ("failed", "processing_failed", {})
    (listed,) = (await admin.get(resources[0].rpartition("/")[0])).json()["items"]
    assert (listed["state"], listed["failure_code"]) == ("failed", "processing_failed")


@pytest.mark.slow
async def test_a_failed_resource_is_pending_while_its_job_is_retried_and_then_ready(
    admin: ShopClient, app: App
) -> None:
    """Fails if the failure is stored instead of derived from the job."""
    resources = [await add_image(admin), await create_report(admin)]
    await attempts_failed(app, admin)
    for job_id in await all_jobs(app):
        assert (await admin.send("POST", f"/v1/jobs/{job_id}/retry")).status_code == 202
    assert [(await admin.get(where)).json()["state"] for where in resources] == ["pending", "pending"]
    await finish_jobs(app)
    for where in resources:
        ready = (await admin.get(where)).json()
        assert (ready["state"], ready["failure_code"]) == ("ready", None)
        assert ready["urls"]
