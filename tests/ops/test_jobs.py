"""The pages of jobs: queues, lists, one job, changes of many, and cron jobs."""

import pytest

import sample_jobs
from many_jobs import add_jobs
from ops_app import FormBrowser, create_app
from restwell import App
from restwell.ids import new_id
from restwell.jobs import JobContext, JobState, job
from restwell.settings import Settings
from restwell.testing import finish_jobs
from restwell.web import Feature

LIST = "/ops/jobs/list"


@job(max_attempts=1)
async def send_code(_context: JobContext, code: str, password: str) -> None:
    raise ValueError(f"<b>not</b> {password} for {code}")


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings, Feature(jobs=[sample_jobs.note, send_code]))


async def dead_job(app: App) -> str:
    async with app.kit.database.transaction() as tx:
        job_id = await app.kit.jobs.enqueue(tx, send_code, code="1234", password="hunter22")
    await finish_jobs(app)
    return str(job_id)


async def test_a_failed_job_is_found_and_retried_cancelled_and_discarded_without_a_script(
    app: App, admin: FormBrowser
) -> None:
    """Breaks when a page shows a secret, or the markup of an error."""
    job_id = await dead_job(app)
    page = await admin.open("/ops/jobs")
    assert f'href="{LIST}?state=dead&amp;queue=default">1</a>' in page
    listed = await admin.open(f"{LIST}?state=dead&queue=default")
    assert f'<a href="/ops/jobs/job/{job_id}">send_code</a>' in listed
    path = f"/ops/jobs/job/{job_id}"
    shown = await admin.open(path)
    assert "&lt;b&gt;not&lt;/b&gt; [redacted]" in shown
    for text in (listed, shown):
        assert "hunter22" not in text
        assert "<b>not" not in text
    assert "&#34;code&#34;: &#34;1234&#34;" in shown
    answer = await admin.submit(shown, f"{path}/retry")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    retried = await admin.open(path)
    assert "The job is ready, with all its attempts." in retried
    assert (await admin.submit(shown, f"{path}/retry")).status_code == 409
    assert (await admin.submit(retried, f"{path}/cancel")).status_code == 303
    cancelled = await admin.open(path)
    assert ">cancelled</span>" in cancelled
    assert (await admin.submit(retried, f"{path}/cancel")).status_code == 303
    assert "was not cancelled" in await admin.open(path)
    answer = await admin.submit(cancelled, f"{path}/discard")
    assert answer.headers["location"] == f"{LIST}?state=cancelled"
    assert (await admin.get(path)).status_code == 404


async def test_lists_have_filters_and_pages(app: App, admin: FormBrowser) -> None:
    await add_jobs(app.kit.database, "ready", 60)
    await add_jobs(app.kit.database, "ready", 1, name="rare", first=100)
    first = await admin.open(f"{LIST}?state=ready&queue=&name=note")
    assert first.count('<th scope="row">') == 50
    following = first.partition("cursor=")[2].partition('"')[0]
    second = await admin.open(f"{LIST}?state=ready&name=note&cursor={following}")
    assert second.count('<th scope="row">') == 10
    assert ">Next</a>" not in second
    assert (await admin.open(f"{LIST}?state=ready&name=rare")).count('<th scope="row">') == 1
    assert "No job matches." in await admin.open(f"{LIST}?state=ready&name=none")
    for wrong in ("state=none", "cursor=x", "name=%00", f"name={'x' * 201}"):
        assert (await admin.get(f"{LIST}?{wrong}")).status_code in {400, 422}


async def test_all_jobs_that_match_are_changed_after_a_confirmation(app: App, admin: FormBrowser) -> None:
    """Breaks when the confirmation loses a filter."""
    await add_jobs(app.kit.database, "dead", 30)
    await add_jobs(app.kit.database, "dead", 2, name="rare", first=100)
    listed = await admin.open(f"{LIST}?state=dead&name=rare")
    assert 'href="/ops/jobs/change?state=dead&amp;queue=&amp;name=rare&amp;action=discard"' in listed
    asked = await admin.open("/ops/jobs/change?state=dead&queue=&name=rare&action=discard")
    assert "2 jobs match" in asked
    answer = await admin.submit(asked, "/ops/jobs/change")
    assert answer.status_code == 303
    await finish_jobs(app)
    progress = await admin.open(answer.headers["location"])
    assert "Discard dead jobs" in progress
    assert "all queues, rare" in progress
    assert len(await app.kit.jobs.list_jobs(JobState.DEAD, 50)) == 30
    assert "Discard dead jobs</a>" in await admin.open("/ops/jobs")
    none = await admin.open("/ops/jobs/change?state=ready&action=retry")
    assert "0 jobs match" in none
    assert "Retry all of them" not in none
    wrong = {"action": "retry", "state": "ready", "csrf": token_of(none)}
    assert (await admin.send_form("/ops/jobs/change", wrong)).status_code == 409


async def test_a_queue_is_paused_and_resumed(app: App, admin: FormBrowser) -> None:
    page = await admin.open("/ops/jobs")
    answer = await admin.submit(page, "/ops/jobs/queues/default/pause")
    assert answer.status_code == 303
    assert list(await app.kit.jobs.paused_queues()) == ["default"]
    paused = await admin.open("/ops/jobs")
    assert ">paused</span>" in paused
    assert (await admin.submit(paused, "/ops/jobs/queues/default/resume")).status_code == 303
    assert await app.kit.jobs.paused_queues() == {}
    assert "/ops/jobs/queues/restwell/pause" not in page
    unknown = await admin.send_form("/ops/jobs/queues/mial/pause", {"csrf": token_of(page)})
    assert unknown.status_code == 404


async def test_each_action_is_one_line_of_the_audit_log(app: App, admin: FormBrowser) -> None:
    page = await admin.open("/ops/jobs")
    await admin.submit(page, "/ops/jobs/queues/default/pause")
    assert (await admin.send_form("/ops/jobs/queues/default/resume", {"csrf": "wrong"})).status_code == 403
    assert list(await app.kit.jobs.paused_queues()) == ["default"]
    events = (await admin.get("/v1/security-events")).json()["items"]
    assert [each["detail"] for each in events if each["type"] == "operation"] == ["pause_queue queue=default"]


async def test_cron_jobs_have_their_next_time(admin: FormBrowser) -> None:
    page = await admin.open("/ops/jobs")
    row = page[page.index('<th scope="row">restwell.clean_up') :].split("</tr>")[0]
    assert "<code>15 3 * * *</code> UTC" in row
    assert "has not run" in row


async def test_an_unknown_job_is_not_found(admin: FormBrowser) -> None:
    assert (await admin.get(f"/ops/jobs/job/{new_id()}")).status_code == 404


def token_of(page: str) -> str:
    return page.partition('name="csrf" value="')[2].partition('"')[0]
