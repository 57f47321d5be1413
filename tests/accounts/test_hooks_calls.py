"""When each hook of accounts is called, and what an error in it leaves unchanged."""

from typing import Final
from uuid import UUID

import httpx
import pytest

from accounts_app import PASSWORD, create_app
from api_client import assert_problem
from restwell import App
from restwell.accounts import AccountHooks
from restwell.database import Transaction
from restwell.errors import Conflict
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, finish_jobs
from restwell.web import Feature

NEW: Final = "an entirely new one"


class Recorder:
    """Records each call, and raises an error in the hook that ``failing`` names."""

    def __init__(self, hooks: AccountHooks) -> None:
        self.calls: list[tuple[str, UUID]] = []
        self.kept: list[UUID | None] = []
        self.failing = ""
        for name in ("registered", "email_changed", "password_changed", "credentials_reset", "deleted"):
            getattr(hooks, f"on_{name}").append(self._recording(name))
        hooks.on_sessions_revoked.append(self._record_revocation)

    def _recording(self, name: str) -> object:
        async def record(_tx: Transaction, user_id: UUID) -> None:
            self._record(name, user_id)

        return record

    async def _record_revocation(self, _tx: Transaction, user_id: UUID, keep: UUID | None) -> None:
        self.kept.append(keep)
        self._record("sessions_revoked", user_id)

    def _record(self, name: str, user_id: UUID) -> None:
        self.calls.append((name, user_id))
        if name == self.failing:
            raise Conflict


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings, Feature(services=[Recorder]))


@pytest.fixture
def recorder(app: App) -> Recorder:
    return app.service(Recorder)


async def code_for(api: ApiClient, app: App, mail_box: MailBox, path: str, **request: str) -> str:
    """The code in the newest email, after this request."""
    await finish_jobs(app)
    assert (await api.post(path, request)).status_code == 202
    await finish_jobs(app)
    return mail_box.mails[-1].code


async def test_each_hook_is_called_with_the_user_of_the_change(
    client: httpx.AsyncClient, app: App, mail_box: MailBox, recorder: Recorder
) -> None:
    """Fails if a sign-out on all devices revokes sessions without the hooks."""
    anyone = ApiClient(client)
    registration = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
    user_id = UUID((await anyone.post("/v1/users", registration)).json()["id"])
    assert recorder.calls == [("registered", user_id)]

    code = await code_for(anyone, app, mail_box, "/v1/password-resets", email="ada@example.com")
    recorder.calls.clear()
    assert (await anyone.post("/v1/password-resets/completion", {"code": code, "password": NEW})).status_code == 204
    names = ["sessions_revoked", "password_changed", "credentials_reset"]
    assert recorder.calls == [(name, user_id) for name in names], "the address was not verified"

    ada = await ApiClient(client).sign_in("ada@example.com", NEW)
    session_id = UUID((await ada.get("/v1/sessions")).json()["items"][0]["id"])
    recorder.calls.clear()
    change = {"current_password": NEW, "new_password": PASSWORD}
    assert (await ada.post("/v1/users/me/password", change)).status_code == 204
    assert recorder.calls == [("sessions_revoked", user_id), ("password_changed", user_id)]
    assert recorder.kept == [None, session_id]

    new = {"email": "lovelace@example.com", "current_password": PASSWORD}
    code = await code_for(ada, app, mail_box, "/v1/email-verifications", **new)
    recorder.calls.clear()
    assert (await ada.post("/v1/email-verifications/completion", {"code": code})).status_code == 204
    assert recorder.calls == [("email_changed", user_id)]

    recorder.calls.clear()
    assert (await ada.delete("/v1/sessions")).status_code == 204  # sign-out on all devices
    assert recorder.calls == [("sessions_revoked", user_id)]

    ada = await ApiClient(client).sign_in("lovelace@example.com", PASSWORD)
    recorder.calls.clear()
    assert (await ada.delete("/v1/users/me")).status_code == 204
    assert recorder.calls == [("sessions_revoked", user_id), ("deleted", user_id)]


async def test_an_address_stays_and_its_code_is_not_used_if_a_hook_fails(
    member: ApiClient, app: App, mail_box: MailBox, recorder: Recorder
) -> None:
    new = {"email": "new@app.example", "current_password": PASSWORD}
    code = {"code": await code_for(member, app, mail_box, "/v1/email-verifications", **new)}
    recorder.failing = "email_changed"
    assert_problem(await member.post("/v1/email-verifications/completion", code), 409, "conflict")
    assert (await member.get("/v1/users/me")).json()["email"] == "member@app.example"
    recorder.failing = ""
    assert (await member.post("/v1/email-verifications/completion", code)).status_code == 204
    assert (await member.get("/v1/users/me")).json()["email"] == "new@app.example"


async def test_sessions_stay_if_a_hook_of_their_revocation_fails(member: ApiClient, recorder: Recorder) -> None:
    recorder.failing = "sessions_revoked"
    assert_problem(await member.delete("/v1/sessions"), 409, "conflict")
    assert (await member.get("/v1/users/me")).status_code == 200
