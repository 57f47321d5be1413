"""Authorization of every route of an application with accounts: ended credentials, and objects of other users."""

import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from accounts_app import PASSWORD, SCOPES, Role, create_app
from api_client import Json
from forged_tokens import changed
from restwell import App
from restwell.auth._signing_keys import from_secrets
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, check_access, check_ownership, running
from restwell.web._openapi import authenticates, operations, required_scopes
from scoreboard import Score

ACCESS: Final = Path(__file__).with_name("access.txt")
"""Who may call each route."""
INVITATIONS: Final = """
POST    /v1/invitations                     administrator
GET     /v1/invitations                     administrator
DELETE  /v1/invitations/{invitation_id}     administrator
POST    /v1/invitations/acceptance          anyone
"""
GUARDED: Final = [one for one in operations(create_app(Settings()).routes) if one.guards]


async def create_admin(admin: ApiClient, name: str) -> tuple[str, ApiClient]:
    """The id of one more admin, and their client."""
    account = {"email": f"{name}@app.example", "password": PASSWORD, "name": name}
    made: Json = (await admin.post("/v1/users", account)).json()
    assert (await admin.patch(f"/v1/users/{made['id']}", {"role": Role.ADMIN})).status_code == 200
    return made["id"], await ApiClient(admin.client).sign_in(account["email"], PASSWORD)


async def create_machine(admin: ApiClient, *scopes: str) -> tuple[str, ApiClient]:
    """The id of a machine client with these scopes, and a client with its token."""
    made: Json = (await admin.post("/v1/clients", {"name": "a machine", "scopes": scopes})).json()
    return made["id"], await ApiClient(admin.client).use_client_credentials(made["id"], made["secret"])


async def create_api_key(owner: ApiClient, *scopes: str) -> tuple[str, ApiClient]:
    """The id of an API key with these scopes, and a client with it."""
    draft = {"name": "a script", "scopes": scopes, "current_password": PASSWORD}
    made: Json = (await owner.post("/v1/users/me/api-keys", draft)).json()
    return made["id"], ApiClient(owner.client, made["key"])


async def callers_with_ended_credentials(admin: ApiClient, settings: Settings) -> list[Caller]:
    """All were admins, or had every scope."""
    names = ("signed out", "signed out everywhere", "signed out by another device", "signed out in a browser")
    more = ("deactivated", "deleted", "of an old password")
    made = {name: await create_admin(admin, name.replace(" ", "-")) for name in (*names, *more)}
    ids = {name: user_id for name, (user_id, _) in made.items()}
    clients = {name: client for name, (_, client) in made.items()}
    key_id, clients["revoked API key"] = await create_api_key(admin, *SCOPES)
    for name in ("deactivated", "deleted"):
        clients[f"API key of a {name} user"] = (await create_api_key(clients[name], *SCOPES))[1]
    machine_id, clients["revoked machine client"] = await create_machine(admin, *SCOPES)
    device = await ApiClient(admin.client).sign_in("signed-out-by-another-device@app.example", PASSWORD)
    (session,) = [one for one in (await device.get("/v1/sessions")).json()["items"] if not one["current"]]
    browser = ApiClient(admin.client)
    await browser.sign_in("signed-out-in-a-browser@app.example", PASSWORD, cookies=True)
    clients["signed out in a browser"] = ApiClient(admin.client)
    clients["signed out in a browser"].cookies = dict(browser.cookies)
    clients["signed out in a browser"].headers = browser.headers
    again = await ApiClient(admin.client).sign_in("of-an-old-password@app.example", PASSWORD)
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    for one in clients.values():  # each was used, so each is in the cache
        assert (await one.get("/v1/security-events")).status_code == 200
    ends = [
        await clients["signed out"].delete("/v1/sessions/current"),
        await clients["signed out everywhere"].delete("/v1/sessions"),
        await device.delete(f"/v1/sessions/{session['id']}"),
        await browser.delete("/v1/sessions/current"),
        await admin.patch(f"/v1/users/{ids['deactivated']}", {"active": False}),
        await clients["deleted"].delete("/v1/users/me"),
        await again.post("/v1/users/me/password", change),
        await admin.delete(f"/v1/clients/{machine_id}"),
        await admin.delete(f"/v1/users/me/api-keys/{key_id}"),
    ]
    assert all(answer.is_success for answer in ends), ends
    assert settings.jwt.secret is not None
    (key,) = from_secrets([settings.jwt.secret.get_secret_value()])
    clients["expired"] = ApiClient(admin.client, changed(key, admin.tokens["access_token"], exp=1_700_000_000))
    return [Caller(client, name=name) for name, client in clients.items()]


async def valid_callers(member: ApiClient, admin: ApiClient) -> list[Caller]:
    """Users of each role, one who had another when the token was issued, and clients and API keys of each scope."""
    former_id, former = await create_admin(admin, "former")
    assert (await admin.patch(f"/v1/users/{former_id}", {"role": Role.MEMBER})).status_code == 200
    browser = await ApiClient(admin.client).sign_in("admin@app.example", PASSWORD, cookies=True)
    return [
        Caller(member, role=Role.MEMBER),
        Caller(admin, role=Role.ADMIN),
        Caller(former, role=Role.MEMBER, name="former administrator"),
        Caller(browser, role=Role.ADMIN, name="administrator with cookies"),
        *[Caller((await create_machine(admin, scope))[1], scopes={scope}) for scope in SCOPES],
        *[
            Caller((await create_api_key(user, scope))[1], role=role, scopes={scope})
            for user, role in ((member, Role.MEMBER), (admin, Role.ADMIN))
            for scope in SCOPES
        ],
    ]


@pytest.mark.slow
@pytest.mark.scoreboard(
    "A8", "every route x {no credentials, each role, each scope, expired and revoked tokens}", "0 leaks"
)
async def test_each_route_admits_the_callers_of_the_access_table_only(
    app: App, settings: Settings, member: ApiClient, admin: ApiClient, score: Score
) -> None:
    """Breaks when a guard is removed, weakened or of another role, and when a token outlives its session or account."""
    callers = [*await valid_callers(member, admin), *await callers_with_ended_credentials(admin, settings)]
    await check_access(app, ACCESS.read_text(), callers)
    score.note(f"0 of {len(app.routes)} routes: anonymous, {', '.join(caller.name for caller in callers)}")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_each_route_of_invitations_admits_admins_only(
    settings: Settings, member: ApiClient, admin: ApiClient
) -> None:
    """Another application with the same database: it has invitations instead of registration."""
    callers = [*await valid_callers(member, admin), *await callers_with_ended_credentials(admin, settings)]
    table = re.sub(r"^POST +/v1/users +anyone$", INVITATIONS, ACCESS.read_text(), flags=re.MULTILINE)
    app = create_app(settings, registration="invitation")
    async with running(app) as client:
        for caller in callers:
            caller.client.client = client
        await check_access(app, table, callers)


@pytest.mark.scoreboard("A8", "every route with an id x another user", "0 leaks")
async def test_no_user_reaches_an_object_of_another_user(
    app: App, member: ApiClient, other: ApiClient, score: Score
) -> None:
    """Breaks when a query has an id without its owner, and when a list is not filtered by it."""
    note: Json = (await member.post("/v1/notes", {"text": "mine"})).json()
    session: Json = (await member.get("/v1/sessions")).json()["items"][0]
    key_id, _ = await create_api_key(member, *SCOPES)
    objects = {"note_id": note["id"], "session_id": session["id"], "key_id": key_id, "provider": None}
    await check_ownership(app, objects, owner=member, other=other)
    score.note(f"0 of {sum(bool(one.path_types) for one in GUARDED)}")


async def test_a_refresh_token_and_a_client_secret_are_no_access_tokens(
    client: httpx.AsyncClient, member: ApiClient, admin: ApiClient
) -> None:
    made: Json = (await admin.post("/v1/clients", {"name": "a machine", "scopes": [*SCOPES]})).json()
    for token in (member.tokens["refresh_token"], made["secret"]):
        assert (await ApiClient(client, token).get("/v1/security-events")).status_code == 401


def test_every_scope_admits_machine_clients_to_a_route() -> None:
    assert {scope for one in GUARDED for scope in required_scopes(one)} == set(SCOPES)


def test_every_guard_appears_in_the_openapi_document() -> None:
    assert all(map(authenticates, GUARDED))
