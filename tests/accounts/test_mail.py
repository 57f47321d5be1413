"""Emails about accounts, which jobs send after the response."""

import httpx

from accounts_app import create_app
from mail_server import mail_server, with_mail
from restwell import App
from restwell.jobs import JobState
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, finish_jobs, running

NEW = {"email": "Ada@Example.com", "password": "a long enough one", "name": "Ada <b>Lovelace</b>"}


async def test_a_deleted_account_gets_no_mail(client: httpx.AsyncClient, app: App, mail_box: MailBox) -> None:
    assert (await client.post("/v1/users", json=NEW)).status_code == 201
    ada = await ApiClient(client).sign_in("ada@example.com", NEW["password"])
    await ada.send("DELETE", "/v1/users/me")
    await finish_jobs(app)
    assert mail_box.mails == []


async def test_an_email_that_the_server_rejects_is_a_dead_job_without_retries(settings: Settings) -> None:
    with mail_server(None) as server:
        server.unknown = {"ada@example.com"}
        app = create_app(with_mail(settings, server))
        async with running(app) as client:
            await client.post("/v1/users", json=NEW)
            await finish_jobs(app)
            (dead,) = await app.kit.jobs.list_jobs(JobState.DEAD, 5)
            (failure,) = await app.kit.jobs.failures(dead.id)
    assert (dead.name, dead.attempts) == ("send_welcome", 1)
    assert failure.error.startswith("MailRefused: ")
    assert "No such mailbox" in failure.error


async def test_a_mail_is_retried_when_the_server_is_busy(settings: Settings) -> None:
    with mail_server(None) as server:
        server.busy = True
        app = create_app(with_mail(settings, server))
        async with running(app) as client:
            await client.post("/v1/users", json=NEW)
            await finish_jobs(app)
            (waiting,) = await app.kit.jobs.list_jobs(JobState.SCHEDULED, 5)
    assert (waiting.name, waiting.attempts, waiting.max_attempts) == ("send_welcome", 1, 10)
