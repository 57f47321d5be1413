"""The code of docs/accounts.md."""

import asyncio
import re
import shlex
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import httpx
import pytest

from api_client import assert_problem, error_paths
from restwell import App, Restwell
from restwell.accounts import Accounts
from restwell.accounts._seed import add_user
from restwell.database import Database
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, MailBox, access_table, check_access, finish_jobs, running
from restwell.web import Version
from servers import RESTWELL, ROOT, restwell, serve, working

PAGE: Final = (ROOT / "docs/accounts.md").read_text()
ADA: Final = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada"}


def module(name: str) -> Any:
    """The module of that name on the page."""
    loaded = ModuleType(name)
    exec(text_of(name), vars(loaded))  # noqa: S102  # the code of the page
    return loaded


def text_of(name: str) -> str:
    """The code of that name on the page."""
    found = re.search(rf"^<!-- module: {name} -->\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def app(settings: Settings) -> App:
    created: App = module("app").create_app(settings)
    return created


async def test_an_application_with_accounts_is_at_most_20_lines(app: App) -> None:
    """Fails if one of the parts is missing."""
    assert len([line for line in text_of("app").splitlines() if line.strip()]) <= 20
    async with running(app) as client:
        assert (await client.post("/v1/users", json=ADA)).status_code == 201
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        await ada.refresh()
        assert len((await ada.get("/v1/sessions")).json()["items"]) == 1
        assert (await ada.post("/v1/users/me/mfa", {"current_password": ADA["password"]})).status_code == 200
        assert {"registered", "signed_in"} <= {
            event["type"] for event in (await ada.get("/v1/security-events")).json()["items"]
        }
        document = (await client.get("/openapi.json")).json()
        admin = await add_user(app, "admin@example.com", "Admin", ADA["password"], "admin")
        boss = await ApiClient(client).sign_in(admin.email, ADA["password"])
        made = (await boss.post("/v1/clients", {"name": "Kiosk", "scopes": ["loans:read"]})).json()
        kiosk = await ApiClient(client).use_client_credentials(made["id"], made["secret"])
        callers = [Caller(ada, role="reader"), Caller(boss, role="admin"), Caller(kiosk, scopes=["loans:read"])]
        await check_access(app, access_table(app), callers)
    assert {
        "/v1/password-resets",
        "/v1/email-verifications",
        "/v1/identities/{provider}/sign-in",
        "/v1/users/me/mfa",
        "/v1/clients",
        "/v1/oauth/token",
        "/v1/security-events",
    } <= document["paths"].keys()
    assert document["components"]["schemas"]["User"]["properties"]["role"] == {"$ref": "#/components/schemas/Role"}
    assert document["components"]["schemas"]["Role"]["enum"] == ["admin", "reader"]


@pytest.mark.integration
def test_the_commands_of_the_page_serve_an_application_that_sends_mails(tmp_path: Path) -> None:
    """Fails if the page names no worker: nothing would send the code of a new account."""
    (tmp_path / "app.py").write_text(text_of("app"))
    found = re.search(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    setting, migrate, add, *servers = found[1].splitlines()
    name, _, value = setting.removeprefix("export ").partition("=")
    assert servers == ["restwell worker &", "restwell serve"]
    environment = {name: value, "DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}", "SMTP_URL": f"folder:{tmp_path}"}
    for command in (migrate, add):
        done = restwell(*shlex.split(command)[1:], cwd=tmp_path, stdin=f"{ADA['password']}\n", **environment)
        assert done.returncode == 0, done.stderr
    with (
        serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served,
        working(tmp_path, cwd=tmp_path, **environment),
        httpx.Client(base_url=served.url) as client,
    ):
        admin = client.post("/v1/sessions", json={key: ADA[key] for key in ("email", "password")})
        assert admin.status_code == 201, admin.text
        answer = client.post("/v1/users", json={**ADA, "email": "eve@example.com"})
        assert answer.status_code == 201, answer.text
        mail = asyncio.run(MailBox(tmp_path).wait_for(to="eve@example.com", subject="Welcome"))
        verified = client.post("/v1/email-verifications/completion", json={"code": mail.code})
        assert verified.status_code == 204, verified.text


async def test_the_emails_of_the_page_replace_some_texts(settings: Settings, mail_box: MailBox) -> None:
    accounts = Accounts(roles=module("app").Role, emails=module("emails").LibraryEmails())
    app = Restwell(settings, name="library").app([Version("/v1", [accounts])])
    async with running(app) as client:
        await client.post("/v1/users", json=ADA)
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        change = {"current_password": ADA["password"], "new_password": "another long one"}
        assert (await ada.post("/v1/users/me/password", change)).status_code == 204
        await finish_jobs(app)
    welcome = await mail_box.wait_for(to=ADA["email"], subject="Welcome")
    changed = await mail_box.wait_for(to=ADA["email"], subject="A new password")
    assert "Call us if it was not you." in changed.text
    assert all(mail.text.rstrip().endswith("Your library") for mail in (welcome, changed))


async def test_the_hook_of_the_page_runs_at_registration(settings: Settings) -> None:
    hooks = module("hooks")
    accounts = Accounts(roles=module("app").Role)
    app = Restwell(settings, name="library").app([Version("/v1", [accounts, hooks.cards])])
    async with running(app) as client:
        user = (await client.post("/v1/users", json=ADA)).json()
    assert [str(each) for each in app.service(hooks.Cards).issued] == [user["id"]]


async def test_the_profile_of_the_page_is_a_member_of_accounts(settings: Settings) -> None:
    accounts = Accounts(roles=module("app").Role, profile=module("profile").Profile)
    app = Restwell(settings, name="library").app([Version("/v1", [accounts])])
    async with running(app) as client:
        answer = await client.post("/v1/users", json={**ADA, "profile": {"phone": "+4922812345"}})
        assert answer.json()["profile"] == {"phone": "+4922812345", "newsletter": False}
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        changed = await ada.patch("/v1/users/me", {"profile": {"newsletter": True}})
        assert changed.json()["profile"] == {"phone": "+4922812345", "newsletter": True}
        assert (await ada.patch("/v1/users/me", {"profile": {"phone": "1"}})).status_code == 422


async def test_the_password_policy_of_the_page_is_that_of_every_new_password(
    settings: Settings, mail_box: MailBox
) -> None:
    """Fails if one of the routes hashes a password without the policy."""
    policy = module("password_policy").LibraryPasswords()
    accounts = Accounts(roles=module("app").Role, password_policy=policy)
    app = Restwell(settings, name="library").app([Version("/v1", [accounts])])
    breached, short = "correct horse battery staple", "fourteen chars"
    async with running(app) as client:
        for password in (breached, short):
            rejected = await client.post("/v1/users", json={**ADA, "password": password})
            assert_problem(rejected, 422, "password_rejected" if password == breached else "invalid")
            assert error_paths(rejected.json()) == {"$.password"}
        assert (await client.post("/v1/users", json=ADA)).status_code == 201
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        for password in (breached, short):
            change = {"current_password": ADA["password"], "new_password": password}
            rejected = await ada.post("/v1/users/me/password", change)
            assert error_paths(rejected.json()) == {"$.new_password"}
        await client.post("/v1/password-resets", json={"email": ADA["email"]})
        await finish_jobs(app)
        code = (await mail_box.wait_for(subject="Reset")).code
        for password in (breached, short, "ADA@example.com"):
            rejected = await client.post("/v1/password-resets/completion", json={"code": code, "password": password})
            assert error_paths(rejected.json()) == {"$.password"}
        assert "data breach" in (await client.post("/v1/users", json={**ADA, "password": breached})).text
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    accounts = Accounts(roles=module("app").Role, password_policy=policy, registration="invitation")
    invitations = Restwell(settings, name="library").app([Version("/v1", [accounts])])
    async with running(invitations) as client:
        schemas |= (await client.get("/openapi.json")).json()["components"]["schemas"]
    for schema, field in (
        ("RegistrationRequest", "password"),
        ("InvitationAcceptanceRequest", "password"),
        ("PasswordChangeRequest", "new_password"),
        ("PasswordResetCompletionRequest", "password"),
    ):
        described = schemas[schema]["properties"][field]
        assert (described["minLength"], described["maxLength"]) == (15, 128)


async def test_the_languages_of_the_page_are_those_of_accounts(settings: Settings, mail_box: MailBox) -> None:
    accounts = Accounts(roles=module("app").Role, emails=module("languages").EMAILS)
    app = Restwell(settings, name="library").app([Version("/v1", [accounts])])
    async with running(app) as client:
        answer = await client.post("/v1/users", json=ADA, headers={"accept-language": "de-AT"})
        assert answer.json()["language"] == "de"
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        change = {"current_password": ADA["password"], "new_password": "another long one"}
        assert (await ada.post("/v1/users/me/password", change)).status_code == 204
        await finish_jobs(app)
        assert (await ada.patch("/v1/users/me", {"language": "en"})).json()["language"] == "en"
        await ada.post("/v1/users/me/password", {**change, "current_password": change["new_password"]})
        await finish_jobs(app)
    assert (await mail_box.wait_for(subject="Ihr Passwort wurde geändert")).message["Content-Language"] == "de"
    assert (await mail_box.wait_for(subject="Your password was changed")).message["Content-Language"] == "en"


async def test_the_claims_of_the_page_are_those_of_the_actor(settings: Settings) -> None:
    claims = module("claims")
    accounts = Accounts(roles=module("app").Role, claims=claims.library_claims)
    app = Restwell(settings, name="library").app([Version("/v1", [accounts, claims.branches])])
    async with running(app) as client:
        await client.post("/v1/users", json=ADA)
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        assert (await ada.get("/v1/branch")).text == "example.com"


async def test_the_migration_of_the_page_renames_a_role(app: App, settings: Settings, database: Database) -> None:
    """Fails if the table has a CHECK of the roles, too."""
    async with running(app) as client:
        await client.post("/v1/users", json=ADA)
    (statement,) = re.findall(r'op\.execute\("(.+)"\)', text_of("rename"))
    async with database.transaction() as tx:
        await tx.run_script(statement)

    class Renamed(StrEnum):
        MEMBER = "member"
        ADMIN = "admin"

    renamed = Restwell(settings, name="library").app([Version("/v1", [Accounts(roles=Renamed)])])
    async with running(renamed) as client:
        ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
        assert (await ada.get("/v1/users/me")).json()["role"] == "member"


async def test_the_directory_of_the_page_signs_users_in(settings: Settings) -> None:
    page = module("directory")
    accounts = Accounts(roles=module("app").Role, directory=page.StaffDirectory)
    async with running(Restwell(settings, name="library").app([Version("/v1", [accounts])])) as client:
        ((email, (password, name)),) = page.STAFF.items()
        ada = await ApiClient(client).sign_in(email, password)
        me = (await ada.get("/v1/users/me")).json()
        assert (me["id"], me["name"]) == (str(page.id_of(email)), name)
        assert (await client.post("/v1/sessions", json={"email": email, "password": "wrong"})).status_code == 401
