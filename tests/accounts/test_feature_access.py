"""Authorization of every route of an application with accounts: the access table, and the objects of another user."""

import time
from pathlib import Path

import pytest
from joserfc import jwt

from accounts_app import PASSWORD, SCOPES, Role
from api_client import Json
from restwell import App
from restwell.auth._signing_keys import from_secrets
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, check_access, check_ownership
from scoreboard import Score

ACCESS = Path(__file__).with_name("access.txt")
"""Who may call each route."""


async def machine(admin: ApiClient, *scopes: str) -> tuple[str, ApiClient]:
    """The id of a new machine client with these scopes, and a caller with its token."""
    made: Json = (await admin.post("/v1/clients", {"name": "a machine", "scopes": scopes})).json()
    return made["id"], await ApiClient(admin.client).use_client_credentials(made["id"], made["secret"])


async def hire(admin: ApiClient, name: str) -> tuple[str, ApiClient]:
    """The id of one more admin, and a caller in a session."""
    account = {"email": f"{name}@app.example", "password": PASSWORD, "name": name}
    made: Json = (await admin.post("/v1/users", account)).json()
    hired = await ApiClient(admin.client).sign_in(account["email"], PASSWORD)
    assert (await admin.patch(f"/v1/users/{made['id']}", {"role": Role.ADMIN})).status_code == 200
    return made["id"], hired


async def tokens_that_are_over(admin: ApiClient, settings: Settings) -> list[Caller]:
    """Callers with tokens that had access to every route until they ended."""
    (_, out), (_, everywhere), (dismissed_id, dismissed) = [
        await hire(admin, name) for name in ("out", "everywhere", "dismissed")
    ]
    client_id, revoked = await machine(admin, *SCOPES)
    ends = (
        await out.delete("/v1/sessions/current"),
        await everywhere.delete("/v1/sessions"),
        await admin.patch(f"/v1/users/{dismissed_id}", {"active": False}),
        await admin.delete(f"/v1/clients/{client_id}"),
    )
    assert all(answer.is_success for answer in ends)
    assert settings.jwt.secret is not None
    (key,) = from_secrets([settings.jwt.secret.get_secret_value()])
    claims = jwt.decode(admin.tokens["access_token"], key.key, algorithms=["HS256"]).claims
    header = {"alg": "HS256", "typ": "at+jwt", "kid": key.id}
    expired = jwt.encode(header, {**claims, "exp": int(time.time()) - 1}, key.key, algorithms=["HS256"])
    return [
        Caller(ApiClient(admin.client, expired), name="expired"),
        Caller(out, name="signed out"),
        Caller(everywhere, name="signed out everywhere"),
        Caller(dismissed, name="deactivated"),
        Caller(revoked, name="of a client that was revoked"),
    ]


@pytest.mark.scoreboard("A8", "every route x {no token, each role, each scope, tokens that are over}", "0 leaks")
async def test_each_route_admits_the_callers_of_the_access_table_only(
    app: App, settings: Settings, member: ApiClient, admin: ApiClient, score: Score
) -> None:
    """Breaks when a guard is removed, weakened or of another role, and when a token outlives its session or account."""
    callers = [
        Caller(member, role=Role.MEMBER),
        Caller(admin, role=Role.ADMIN),
        *[Caller((await machine(admin, scope))[1], scopes={scope}) for scope in SCOPES],
        *await tokens_that_are_over(admin, settings),
    ]
    await check_access(app, ACCESS.read_text(), callers)
    score.note(f"0 of {len(app.routes)} routes: anonymous, {', '.join(caller.name for caller in callers)}")


@pytest.mark.scoreboard("A8", "every route with an id x another user", "0 leaks")
async def test_no_user_reaches_an_object_of_another_user(
    app: App, member: ApiClient, other: ApiClient, score: Score
) -> None:
    """Breaks when a query has an id without its owner, and when a list is not filtered by it."""
    note: Json = (await member.post("/v1/notes", {"text": "mine"})).json()
    session: Json = (await member.get("/v1/sessions")).json()["items"][0]
    objects = {"note_id": note["id"], "session_id": session["id"], "provider": None}
    await check_ownership(app, objects, owner=member, other=other)
    score.note(f"0 of {sum(bool(one.guards and one.path_types) for one in app.routes)}")
