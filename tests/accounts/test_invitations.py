"""Registration for invited people only."""

import asyncio
import re
from collections.abc import Iterator
from typing import ClassVar
from uuid import UUID

import httpx
import pytest
from msgspec import Struct
from pydantic import SecretStr
from sqlalchemy import select

from accounts_app import PASSWORD as ADMIN_PASSWORD
from accounts_app import create_app
from api_client import Json, assert_problem
from cleanup import clean
from restwell import App
from restwell.accounts import AccountHooks
from restwell.accounts._codes import hash_token
from restwell.accounts._invitations.jobs import send_invitation
from restwell.accounts._invitations.models import invitations
from restwell.database import Transaction, query
from restwell.errors import Conflict
from restwell.settings import OauthSettings, Settings
from restwell.testing import ApiClient, MailBox, OpenIdProvider, finish_jobs, running
from restwell.web import Feature

ADA = "ada@example.com"
STORED = query(
    "test.stored",
    select(invitations.c.code_hash, invitations.c.email),
    into=tuple,
)
PASSWORD = "a long enough password"  # of a test
INVITED = {"email": "Ada@Example.com", "role": "administrator"}


class FailingHook:
    fails: ClassVar[bool] = False

    def __init__(self, hooks: AccountHooks) -> None:
        hooks.on_registered.append(self.fail)

    async def fail(self, _tx: Transaction, _user_id: object) -> None:
        if self.fails:
            raise Conflict


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as started:
        yield started


@pytest.fixture
def settings(settings: Settings, provider: OpenIdProvider) -> Settings:
    oauth = OauthSettings(providers=(SecretStr(provider.setting("okta")),))
    return settings.model_copy(update={"oauth": oauth})


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings, Feature(services=[FailingHook]), registration="invitation")


async def invite(app: App, admin: ApiClient, mail_box: MailBox, **changes: str) -> tuple[Json, str]:
    """The invitation, and the code in its mail."""
    answer = await admin.post("/v1/invitations", {**INVITED, **changes})
    assert answer.status_code == 201, answer.text
    await finish_jobs(app)
    mail = await mail_box.wait_for(to=answer.json()["email"], subject="Invitation")
    return answer.json(), mail.code


async def accept(caller: ApiClient, code: str, **changes: str) -> httpx.Response:
    body = {"code": code, "name": "Ada Lovelace", "password": PASSWORD, **changes}
    return await caller.post("/v1/invitations/acceptance", body)


async def events(admin: ApiClient, prefix: str) -> list[Json]:
    found = (await admin.get("/v1/security-events")).json()["items"]
    return [event for event in reversed(found) if event["type"].startswith(prefix)]


async def test_the_code_in_the_mail_creates_one_account_with_the_invited_role_and_a_verified_address(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails if ``use_code`` selects instead of deleting, and if the address is not stored as verified."""
    registration = {"email": ADA, "password": PASSWORD, "name": "Ada"}
    assert (await anyone.post("/v1/users", registration)).status_code == 405
    invitation, code = await invite(app, admin, mail_box)
    assert (invitation["email"], invitation["role"]) == (ADA, "administrator")
    answer = await accept(anyone, code)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/users/me"
    user = answer.json()
    assert (user["email"], user["role"], user["email_verified"]) == (ADA, "administrator", True)
    assert_problem(await accept(anyone, code), 400, "invalid_invitation_code")
    ada = await anyone.sign_in(ADA, PASSWORD)
    assert (await ada.get("/v1/invitations")).json()["items"] == []
    await finish_jobs(app)
    welcome = await mail_box.wait_for(to=ADA, subject="Welcome")
    assert "code" not in welcome.text
    created, accepted = await events(ada, "invitation_")
    assert (created["type"], created["user_id"], accepted["type"], accepted["user_id"]) == (
        "invitation_created",
        None,
        "invitation_accepted",
        user["id"],
    )
    assert created["detail"] == accepted["detail"] == f"invitation: {invitation['id']}, role: administrator"


async def test_concurrent_acceptances_create_one_account(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails if the code is looked up and deleted in two statements and the address is not unique."""
    _, code = await invite(app, admin, mail_box)
    answers = await asyncio.gather(*(accept(anyone, code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]


async def test_only_admins_manage_invitations_and_wrong_ones_are_refused(
    app: App, member: ApiClient, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails without the guard of the controller."""
    for caller, status in ((member, 403), (anyone, 401)):
        assert (await caller.post("/v1/invitations", INVITED)).status_code == status
        assert (await caller.get("/v1/invitations")).status_code == status
    invitation, _ = await invite(app, admin, mail_box)
    assert (await member.delete(f"/v1/invitations/{invitation['id']}")).status_code == 403
    assert_problem(await admin.post("/v1/invitations", {**INVITED, "role": "owner"}), 422, "invalid")
    assert_problem(await admin.post("/v1/invitations", {**INVITED, "email": "ada"}), 422, "invalid")
    taken = await admin.post("/v1/invitations", {**INVITED, "email": "member@app.example"})
    assert_problem(taken, 409, "email_taken")


async def test_a_second_invitation_of_an_address_replaces_the_first(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails if ``replace`` keeps the hash of the first code."""
    _, first = await invite(app, admin, mail_box)
    await admin.post("/v1/invitations", INVITED)
    second, code = await invite(app, admin, mail_box, role="member")
    assert len(mail_box.mails) == 2, "the mail of an invitation that was replaced before it is not sent"
    assert (await admin.get("/v1/invitations")).json()["items"] == [second]
    assert_problem(await accept(anyone, first), 400, "invalid_invitation_code")
    assert (await accept(anyone, code)).json()["role"] == "member"


async def test_a_revoked_invitation_cannot_be_accepted(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    invitation, code = await invite(app, admin, mail_box)
    assert (await admin.delete(f"/v1/invitations/{invitation['id']}")).status_code == 204
    assert (await admin.delete(f"/v1/invitations/{invitation['id']}")).status_code == 404
    assert_problem(await accept(anyone, code), 400, "invalid_invitation_code")
    assert (await events(admin, "invitation_revoked"))[0]["actor_id"]


async def test_an_expired_invitation_is_refused_and_deleted_at_night(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails without the condition on ``expires_at``, and if the service is no DeletesExpired."""
    invitation, code = await invite(app, admin, mail_box)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("UPDATE invitations SET expires_at = (SELECT min(created_at) FROM users)")
    assert_problem(await accept(anyone, code), 400, "invalid_invitation_code")
    assert [each["id"] for each in (await admin.get("/v1/invitations")).json()["items"]] == [invitation["id"]]
    await clean(app)
    assert (await admin.get("/v1/invitations")).json()["items"] == []


async def test_an_address_that_has_an_account_in_the_meantime_is_refused_only_to_who_has_the_code(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """A 500 if the UniqueViolation is not translated."""
    _, code = await invite(app, admin, mail_box)
    async with app.kit.database.transaction() as tx:
        await tx.run_script(f"UPDATE users SET email = '{ADA}' WHERE email = 'member@app.example'")
    assert_problem(await accept(anyone, code), 409, "email_taken")
    assert_problem(await accept(anyone, code[::-1]), 400, "invalid_invitation_code")


async def test_a_weak_password_or_a_failing_hook_leaves_the_invitation_valid(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the invitation is consumed in a transaction of its own."""
    _, code = await invite(app, admin, mail_box)
    assert_problem(await accept(anyone, code, password=ADA), 422, "password_rejected")
    monkeypatch.setattr(FailingHook, "fails", True)
    assert_problem(await accept(anyone, code), 409, "conflict")
    monkeypatch.setattr(FailingHook, "fails", False)
    assert (await accept(anyone, code)).status_code == 201


async def test_a_repeated_mail_has_the_same_code_of_which_only_a_hash_is_stored(
    app: App, admin: ApiClient, anyone: ApiClient, mail_box: MailBox
) -> None:
    """Fails with a random code for each attempt: mail servers drop a repeated mail, because it has the same id."""
    invitation, code = await invite(app, admin, mail_box)
    async with app.kit.database.transaction() as tx:
        await app.kit.jobs.enqueue(tx, send_invitation, invitation_id=UUID(invitation["id"]))
    await finish_jobs(app)
    assert [mail.code for mail in mail_box.mails] == [code, code]
    assert await app.kit.database.one(STORED) == (hash_token(code), ADA)
    assert (await accept(anyone, code)).status_code == 201


async def test_an_invited_person_may_sign_in_with_a_provider_that_verified_the_address(
    app: App, admin: ApiClient, client: httpx.AsyncClient, provider: OpenIdProvider, mail_box: MailBox
) -> None:
    """Fails if an unverified address claims the invitation, and if the invitation can be used again."""
    _, code = await invite(app, admin, mail_box)
    provider.sign_in_as("1", email="eve@example.com")
    assert_problem(await sign_in_with(ApiClient(client)), 403, "sign_in_refused")
    provider.sign_in_as("2", email=ADA, email_verified=False)
    assert_problem(await sign_in_with(ApiClient(client)), 403, "sign_in_refused")
    provider.sign_in_as("3", email=ADA, name="Ada Lovelace")
    ada = ApiClient(client)
    assert (await sign_in_with(ada)).status_code == 200
    me = (await ada.get("/v1/users/me")).json()
    assert (me["email"], me["name"], me["role"], me["email_verified"]) == (ADA, "Ada Lovelace", "administrator", True)
    assert_problem(await accept(ApiClient(client), code), 400, "invalid_invitation_code")


class Profile(Struct, frozen=True):
    newsletter: bool = False


async def test_an_invited_person_sets_the_profile_of_the_account(settings: Settings, mail_box: MailBox) -> None:
    app = create_app(settings, registration="invitation", profile=Profile)
    async with running(app) as client:
        admin = await ApiClient(client).sign_in("admin@app.example", ADMIN_PASSWORD)
        _, code = await invite(app, admin, mail_box)
        body = {"code": code, "name": "Ada", "password": PASSWORD, "profile": {"newsletter": True}}
        answer = await client.post("/v1/invitations/acceptance", json=body)
        assert answer.json()["profile"] == {"newsletter": True}, answer.text


async def test_without_passwords_the_mail_has_no_code(settings: Settings, mail_box: MailBox) -> None:
    """Fails if the route of acceptance stays."""
    app = create_app(settings, registration="invitation")
    without = create_app(settings, registration="invitation", passwords=False)
    async with running(app) as client:
        admin = await ApiClient(client).sign_in("admin@app.example", ADMIN_PASSWORD)
    async with running(without) as client:
        answer = await ApiClient(client, admin.tokens["access_token"]).post("/v1/invitations", INVITED)
        assert answer.status_code == 201, answer.text
        assert_problem(await client.post("/v1/invitations/acceptance", json={}), 404, "not_found")
        await finish_jobs(without)
    mail = await mail_box.wait_for(to=ADA)
    assert "Sign in with a provider" in mail.text
    assert re.search(r"[\w-]{32}", mail.text) is None


async def sign_in_with(caller: ApiClient) -> httpx.Response:
    return await caller.get(await caller.authorize("/v1/identities/okta/sign-in"))
