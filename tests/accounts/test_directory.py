"""Users who are in another store: here a table of the application's own, with keys that are no UUID."""

import asyncio
from typing import Any, ClassVar
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import pyotp
import pytest
from msgspec import Struct

from accounts_app import Role, create_app
from api_client import Json, assert_problem
from restwell import App
from restwell.accounts import AccountEmails, AccountHooks, Accounts, DirectoryUser, User
from restwell.accounts._seed import add_user
from restwell.accounts._throttle.service import FREE_ATTEMPTS
from restwell.accounts._users.directory_accounts import DirectoryAccounts
from restwell.auth import PasswordPolicy, Passwords
from restwell.database import Database, Transaction
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from restwell.testing import ApiClient, running
from restwell.web import Feature
from staff_directory import PASSWORD, Staff, StaffDirectory, id_of, staff


class Registrations:
    count: ClassVar[int] = 0

    def __init__(self, hooks: AccountHooks) -> None:
        type(self).count = 0
        hooks.on_registered.append(self.registered)

    async def registered(self, _tx: Transaction, _user_id: UUID) -> None:
        type(self).count += 1


class Faults:
    """What the directory does instead, for a test."""

    async def no_answer(self, *_: object) -> None:
        await asyncio.sleep(60)

    async def error(self, *_: object) -> None:
        raise ZeroDivisionError("the driver of the directory")


@pytest.fixture
async def staff_table(database: Database) -> Staff:
    columns = ", ".join(f"{column.name} text" for column in staff.columns)
    async with database.transaction() as tx:
        await tx.run_script(f"CREATE TABLE staff ({columns})")
    made = Staff(database)
    await made.add("1")
    return made


@pytest.fixture
def app(settings: Settings, staff_table: Staff) -> App:
    assert staff_table is not None
    return create_app(settings, Feature(services=[Registrations]), directory=StaffDirectory)


async def sign_in(
    client: httpx.AsyncClient, email: str = "ada@staff.example", password: str = PASSWORD
) -> httpx.Response:
    return await client.post("/v1/sessions", json={"email": email, "password": password})


@pytest.fixture
async def ada(client: httpx.AsyncClient) -> ApiClient:
    return await ApiClient(client).sign_in("Ada@Staff.example", PASSWORD)


async def me(caller: ApiClient) -> Json:
    found: Json = (await caller.get("/v1/users/me")).json()
    return found


async def test_a_first_sign_in_creates_the_account_of_a_directory_user_and_the_next_one_reuses_it(
    client: httpx.AsyncClient, ada: ApiClient
) -> None:
    """Fails if the account gets an id of its own: then the next sign-in finds none."""
    account = await me(ada)
    assert account["id"] == str(id_of("1"))
    assert (account["email"], account["name"], account["role"]) == ("ada@staff.example", "Ada Lovelace", Role.ADMIN)
    assert account["email_verified"]
    assert account["active"]
    again = await ApiClient(client).sign_in("ada@staff.example", PASSWORD)
    assert await me(again) == account
    assert len((await again.get("/v1/sessions")).json()["items"]) == 2
    events = [event["type"] for event in (await ada.get("/v1/security-events")).json()["items"]]
    assert events == ["signed_in", "signed_in", "registered"]
    assert Registrations.count == 1


async def test_concurrent_first_sign_ins_create_one_account(client: httpx.AsyncClient) -> None:
    """A 500 on PostgreSQL if the account is inserted without ON CONFLICT."""
    answers = await asyncio.gather(*(sign_in(client) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert Registrations.count == 1


async def test_unknown_users_wrong_passwords_and_users_who_left_are_indistinguishable_and_throttled(
    client: httpx.AsyncClient, staff_table: Staff
) -> None:
    """Fails if a user who left is told so, and if failures are not counted."""
    await staff_table.add("2", email="eve@staff.example", left_on="2026-01-31")
    refused = [
        await sign_in(client, "nobody@staff.example"),
        await sign_in(client, "ada@staff.example", "wrong"),
        await sign_in(client, "eve@staff.example"),
    ]
    problems = [assert_problem(answer, 401, "invalid_credentials") | {"request_id": ""} for answer in refused]
    assert problems == [problems[0]] * 3
    for email in ("nobody@staff.example", "ada@staff.example"):
        for _ in range(FREE_ATTEMPTS):
            await sign_in(client, email, "wrong")
        assert_problem(await sign_in(client, email), 429, "too_many_attempts")


async def test_an_empty_password_is_wrong_without_a_call_of_the_directory(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the check: LDAP servers accept a bind with an empty password."""
    called = []

    async def bind(_self: object, email: str, _password: str) -> DirectoryUser:
        called.append(email)
        return DirectoryUser(id_of("1"), email, "Ada", Role.ADMIN)

    monkeypatch.setattr(StaffDirectory, "authenticate", bind)
    assert_problem(await sign_in(client, password=""), 401, "invalid_credentials")
    assert called == []
    assert (await sign_in(client, password="any")).status_code == 201  # of a test


async def test_role_name_and_address_follow_the_directory_at_each_refresh(ada: ApiClient, staff_table: Staff) -> None:
    """Fails if the caches of the session and of the account are not invalidated."""
    assert (await ada.get("/v1/users")).status_code == 200
    await staff_table.change("1", email="ada.king@staff.example", name="Ada King", role=Role.MEMBER)
    await ada.refresh()
    account = await me(ada)
    assert (account["email"], account["name"], account["role"]) == ("ada.king@staff.example", "Ada King", Role.MEMBER)
    assert_problem(await ada.get("/v1/users"), 403, "forbidden")
    events = [(one["type"], one["detail"]) for one in (await ada.get("/v1/security-events")).json()["items"][:2]]
    assert events == [
        ("account_updated", "role: member, active: true, by the directory"),
        ("email_changed", "from: ada@staff.example"),
    ]


async def test_a_user_who_left_loses_all_sessions_at_the_next_refresh_and_returns_with_the_same_account(
    client: httpx.AsyncClient, ada: ApiClient, staff_table: Staff
) -> None:
    """Fails without the check of the refresh: the session would last for weeks."""
    phone = await ApiClient(client).sign_in("ada@staff.example", PASSWORD)
    account = await me(ada)
    await staff_table.change("1", left_on="2026-01-31")
    refused = await phone.post("/v1/sessions/refresh", {"refresh_token": phone.tokens["refresh_token"]})
    assert_problem(refused, 401, "invalid_refresh_token")
    assert_problem(await ada.get("/v1/users/me"), 401, "unauthorized")
    assert_problem(await phone.get("/v1/users/me"), 401, "unauthorized")
    assert_problem(await sign_in(client), 401, "invalid_credentials")
    await staff_table.change("1")
    assert (await me(await ApiClient(client).sign_in("ada@staff.example", PASSWORD)))["id"] == account["id"]


async def test_a_sign_in_of_a_user_who_left_ends_the_other_sessions(
    client: httpx.AsyncClient, ada: ApiClient, staff_table: Staff
) -> None:
    await staff_table.change("1", left_on="2026-01-31")
    assert_problem(await sign_in(client), 401, "invalid_credentials")
    assert_problem(await ada.get("/v1/users/me"), 401, "unauthorized")


@pytest.mark.parametrize("fault", ["error", "no_answer"])
async def test_a_directory_that_fails_or_is_slow_is_a_503_and_changes_nothing(
    client: httpx.AsyncClient, ada: ApiClient, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A 500 if its errors are not translated; waits forever without the timeout."""
    refresh = {"refresh_token": ada.tokens["refresh_token"]}
    with monkeypatch.context() as patched:
        patched.setattr("restwell.accounts._directory.client.TIMEOUT_SECONDS", 0.05)
        for method in ("authenticate", "find"):
            patched.setattr(StaffDirectory, method, getattr(Faults, fault))
        for answer in (
            await sign_in(client),
            await ada.post("/v1/sessions/refresh", refresh),
            await ada.post("/v1/users/me/mfa", {"current_password": PASSWORD}),
        ):
            assert_problem(answer, 503, "directory_unavailable")
            assert answer.headers["retry-after"]
    assert len((await ada.get("/v1/sessions")).json()["items"]) == 1
    assert (await ada.post("/v1/sessions/refresh", refresh)).status_code == 200, "the token is still valid"


@pytest.mark.parametrize(
    "changes",
    [{"role": "owner"}, {"email": "no address"}, {"id": "1"}],
    ids=["role", "email", "id"],
)
async def test_an_invalid_user_of_the_directory_is_a_503(
    client: httpx.AsyncClient, ada: ApiClient, monkeypatch: pytest.MonkeyPatch, changes: Json
) -> None:
    """A 500 if the database gets such a value, or a session that no response can show."""
    values = {"id": id_of("1"), "email": "ada@staff.example", "name": "Ada", "role": Role.ADMIN, **changes}

    async def answer(*_: object) -> DirectoryUser:
        return DirectoryUser(**values)

    for method in ("authenticate", "find"):
        monkeypatch.setattr(StaffDirectory, method, answer)
    assert_problem(await sign_in(client), 503, "directory_unavailable")
    refused = await ada.post("/v1/sessions/refresh", {"refresh_token": ada.tokens["refresh_token"]})
    assert_problem(refused, 503, "directory_unavailable")


async def test_a_name_of_the_directory_becomes_printable(client: httpx.AsyncClient, staff_table: Staff) -> None:
    await staff_table.add("2", email="eve@staff.example", name="Eve\n<script>")
    await staff_table.add("3", email="bob@staff.example", name="\t")
    names = [
        (await me(await ApiClient(client).sign_in(f"{who}@staff.example", PASSWORD)))["name"] for who in ("eve", "bob")
    ]
    assert names == ["Eve<script>", "bob"]


async def test_an_address_belongs_to_the_user_whom_the_directory_named_last(
    client: httpx.AsyncClient, ada: ApiClient, staff_table: Staff
) -> None:
    """A 500 if the address stays with the account of the first user, who has left or has another one now."""
    assert (await me(ada))["email"] == "ada@staff.example"
    await staff_table.change("1", email="ada.king@staff.example")
    await staff_table.add("2", name="Another Ada")
    second = await ApiClient(client).sign_in("ada@staff.example", PASSWORD)
    assert (await me(second))["id"] == str(id_of("2"))
    first = await me(ada)
    assert (first["email"], first["email_verified"]) == (f"replaced-{id_of('1')}@replaced.invalid", False)
    await ada.refresh()
    assert (await me(ada))["email"] == "ada.king@staff.example"
    assert (await me(second))["email"] == "ada@staff.example"


async def test_two_users_who_get_one_address_at_the_same_time_are_asked_to_try_again(
    client: httpx.AsyncClient, ada: ApiClient, staff_table: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500 without the translation. The other transaction takes the address between the two statements."""
    await staff_table.add("2", email="eve@staff.example")
    await ApiClient(client).sign_in("eve@staff.example", PASSWORD)
    refresh = {"refresh_token": ada.tokens["refresh_token"]}
    with monkeypatch.context() as patched:
        patched.setattr(DirectoryAccounts, "_release_address_in", AsyncMock())
        await staff_table.change("1", email="eve@staff.example")
        assert_problem(await ada.post("/v1/sessions/refresh", refresh), 503, "directory_unavailable")
        await staff_table.add("3", email="eve@staff.example")
        await staff_table.change("1", email="gone@staff.example")
        await staff_table.change("2", email="gone@staff.example")
        assert_problem(await sign_in(client, "eve@staff.example"), 503, "directory_unavailable")
    assert (await sign_in(client, "eve@staff.example")).status_code == 201


async def test_another_user_than_the_one_of_the_session_is_a_503(
    ada: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the comparison of the ids: the session of Ada would follow the account of Eve."""
    eve = DirectoryUser(id_of("2"), "eve@staff.example", "Eve", Role.MEMBER)
    monkeypatch.setattr(StaffDirectory, "find", AsyncMock(return_value=eve))
    refused = await ada.post("/v1/sessions/refresh", {"refresh_token": ada.tokens["refresh_token"]})
    assert_problem(refused, 503, "directory_unavailable")


async def test_the_directory_checks_the_password_again_before_a_change_of_credentials(
    client: httpx.AsyncClient, ada: ApiClient
) -> None:
    """Fails if the check compares with the hash in ``users``, which is null."""
    assert_problem(await ada.post("/v1/users/me/mfa", {"current_password": "wrong"}), 403, "wrong_password")
    assert_problem(await ada.post("/v1/users/me/mfa", {"current_password": ""}), 403, "wrong_password")
    enrolment = (await ada.post("/v1/users/me/mfa", {"current_password": PASSWORD})).json()
    assert enrolment["secret"]
    code = pyotp.TOTP(enrolment["secret"]).now()
    recovery = (await ada.post("/v1/users/me/mfa/confirmation", {"code": code})).json()["recovery_codes"]
    assert_problem(await sign_in(client), 401, "mfa_required")
    await ApiClient(client).sign_in("ada@staff.example", PASSWORD, code=recovery[0])


async def test_an_api_key_follows_the_directory_without_a_refresh(
    app: App, ada: ApiClient, staff_table: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the check of the user: a key of a user who left, and never signs in again, remains valid."""
    draft = {"name": "backup", "scopes": ["notes:read"], "current_password": PASSWORD}
    key = ApiClient(ada.client, (await ada.post("/v1/users/me/api-keys", draft)).json()["key"])
    changed = {"role": Role.MEMBER, "name": "Ada King", "email": "king@staff.example"}
    for changes, status in (({}, 200), (changed, 403), ({"left_on": "2026-01-31"}, 401), ({}, 200), ({}, 200)):
        await staff_table.change("1", **changes)
        await app.kit.cache.invalidate_now()  # as when the role expires
        assert (await key.get("/v1/notes/count")).status_code == status, changes
    monkeypatch.setattr(StaffDirectory, "find", Faults.error)
    assert (await key.get("/v1/notes/count")).status_code == 200, "the role is cached"
    await app.kit.cache.invalidate_now()
    assert_problem(await key.get("/v1/notes/count"), 503, "directory_unavailable")


async def test_what_belongs_to_the_directory_has_no_route(app: App, ada: ApiClient) -> None:
    """Fails if a part is added as without a directory: a password set here would open the account."""
    assert ada.tokens
    absent = {
        ("POST", "/v1/users"),
        ("PATCH", "/v1/users/me"),
        ("DELETE", "/v1/users/me"),
        ("PATCH", "/v1/users/{user_id}"),
        ("POST", "/v1/users/me/password"),
        ("POST", "/v1/password-resets"),
        ("POST", "/v1/password-resets/completion"),
        ("POST", "/v1/email-verifications"),
        ("GET", "/v1/identities"),
        ("POST", "/v1/invitations"),
    }
    assert not absent & {(route.method, route.path) for route in app.routes}
    others = {(route.method, route.path) for route in create_app(Settings(), registration="invitation").routes}
    assert absent - others == {("POST", "/v1/users")}, "the names above are right"


class Profile(Struct, frozen=True):
    newsletter: bool = False


def claims_of(user: User) -> Json:
    return {"office": user.name}


async def test_users_of_a_directory_change_their_own_fields_and_have_claims(
    settings: Settings, staff_table: Staff
) -> None:
    """Fails if the name can be changed, which the next refresh would undo."""
    emails = {"en": AccountEmails(), "de": AccountEmails()}
    app = create_app(settings, directory=StaffDirectory, profile=Profile, emails=emails, claims=claims_of)
    async with running(app) as client:
        ada = await ApiClient(client).sign_in("ada@staff.example", PASSWORD)
        changed = await ada.patch("/v1/users/me", {"profile": {"newsletter": True}, "language": "de"})
        assert (changed.json()["profile"], changed.json()["language"]) == ({"newsletter": True}, "de"), changed.text
        assert_problem(await ada.patch("/v1/users/me", {"name": "Countess"}), 422, "invalid")
        await staff_table.change("1", name="Ada King")
        await ada.refresh()
        account = await me(ada)
        assert (account["name"], account["profile"], account["language"]) == ("Ada King", {"newsletter": True}, "de")
        assert app.kit.access_tokens.verify(ada.tokens["access_token"]).extra == {"office": "Ada King"}


async def test_an_operator_is_told_that_users_are_added_to_the_directory(app: App, client: httpx.AsyncClient) -> None:
    assert client is not None
    with pytest.raises(ConfigurationError, match="add the user there"):
        await add_user(app, "eve@staff.example", "Eve", PASSWORD, None)


async def test_a_directory_may_be_an_object(settings: Settings, staff_table: Staff, database: Database) -> None:
    assert staff_table is not None
    async with running(create_app(settings, directory=StaffDirectory(database, Passwords()))) as client:
        assert (await sign_in(client)).status_code == 201


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"registration": "open"}, "registration='open' contradicts directory"),
        ({"registration": "invitation"}, "registration='invitation' contradicts directory"),
        ({"identities": True}, "identities=True contradicts directory"),
        ({"email_verification": True}, "email_verification=True contradicts directory"),
        ({"password_policy": PasswordPolicy()}, "password_policy=.* contradicts directory"),
        ({"passwords": False}, "directory needs passwords=True"),
        ({"directory": object()}, "directory=object has no method authenticate"),
        ({"directory": Registrations}, "directory=Registrations has no method authenticate"),
    ],
)
def test_options_that_contradict_a_directory_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Accounts(**{"roles": Role, "directory": StaffDirectory} | options)
