"""Authorization of every route: the access table, and no user reaches the objects of another."""

import time
from pathlib import Path

import httpx
import pytest
from joserfc import jwt

from api_client import Json
from restwell import App
from restwell.auth._signing_keys import from_secrets
from restwell.testing import ApiClient, Caller, check_access, check_ownership
from restwell.web._openapi import authenticates, operations, required_scopes
from scoreboard import Score
from shop.access import SCOPES
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

ACCESS = Path(__file__).with_name("access.txt")
"""Who may call each route."""
GUARDED = [one for one in operations(create_app(ShopSettings()).routes) if one.guards]


async def machine(boss: ShopClient, *scopes: str) -> Json:
    """A client with these scopes."""
    made = await boss.send("POST", "/v1/clients", {"name": "a machine", "scopes": scopes})
    assert made.status_code == 201, made.text
    client: Json = made.json()
    return client


async def token_of(client: httpx.AsyncClient, made: Json, scope: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": made["id"],
        "client_secret": made["secret"],
        "scope": scope,
    }
    token: str = (await client.post("/v1/oauth/token", data=form)).json()["access_token"]
    return token


async def hire(client: httpx.AsyncClient, boss: ShopClient, name: str) -> ShopClient:
    """One more admin."""
    account = {"email": f"{name}@shop.example", "password": "a long enough one", "name": name}
    assert (await client.post("/v1/users", json=account)).status_code == 201
    hired = await ShopClient(client).sign_in(account["email"], account["password"])
    me: Json = (await hired.get("/v1/users/me")).json()
    assert (await boss.send("PATCH", f"/v1/users/{me['id']}", {"role": "admin"})).status_code == 200
    return hired


async def tokens_that_are_over(client: httpx.AsyncClient, settings: ShopSettings) -> dict[str, str]:
    """Tokens of admins, who have access to every route."""
    boss = await ShopClient(client).sign_in("admin@shop.example")
    out, everywhere, dismissed = [await hire(client, boss, name) for name in ("out", "everywhere", "dismissed")]
    await out.send("DELETE", "/v1/sessions/current")
    await everywhere.send("DELETE", "/v1/sessions")
    me: Json = (await dismissed.get("/v1/users/me")).json()
    assert (await boss.send("PATCH", f"/v1/users/{me['id']}", {"active": False})).status_code == 200
    made = await machine(boss, *SCOPES)
    revoked = await token_of(client, made, " ".join(SCOPES))
    assert (await boss.send("DELETE", f"/v1/clients/{made['id']}")).status_code == 204
    assert settings.jwt.secret is not None
    (key,) = from_secrets([settings.jwt.secret.get_secret_value()])
    claims = jwt.decode(boss.tokens["access_token"], key.key, algorithms=["HS256"]).claims
    header = {"alg": "HS256", "typ": "at+jwt", "kid": key.id}
    return {
        "expired": jwt.encode(header, {**claims, "exp": int(time.time()) - 1}, key.key, algorithms=["HS256"]),
        "signed out": out.tokens["access_token"],
        "signed out everywhere": everywhere.tokens["access_token"],
        "of a client that was revoked": revoked,
        "deactivated": dismissed.tokens["access_token"],
    }


async def callers(client: httpx.AsyncClient, customer: ShopClient, admin: ShopClient) -> list[Caller]:
    """Users of each role, and machine clients of each scope."""
    made = await machine(admin, *SCOPES)
    users = [Caller(customer, role="customer"), Caller(admin, role="admin")]
    tokens = [(scope, await token_of(client, made, scope)) for scope in SCOPES]
    return users + [Caller(ApiClient(client, token), scopes={scope}) for scope, token in tokens]


@pytest.mark.scoreboard(
    "A8", "every route x {no credentials, each role, each scope, expired and revoked tokens}", "0 leaks"
)
async def test_each_route_admits_the_callers_of_the_access_table_only(
    client: httpx.AsyncClient,
    app: App,
    settings: ShopSettings,
    customer: ShopClient,
    admin: ShopClient,
    score: Score,
) -> None:
    """Breaks when a guard is removed, weakened or of another role, and when a token outlives its session or account."""
    expired = await tokens_that_are_over(client, settings)
    rejected = [Caller(ApiClient(client, token), name=name) for name, token in expired.items()]
    everyone = [*await callers(client, customer, admin), *rejected]
    await check_access(app, ACCESS.read_text(), everyone)
    score.note(f"0 of {len(app.routes)} routes: anonymous, {', '.join(caller.name for caller in everyone)}")


@pytest.mark.scoreboard("A8", "every route with an id x another user", "0 leaks")
async def test_no_user_reaches_an_object_of_another_user(
    app: App, customer: ShopClient, other: ShopClient, score: Score
) -> None:
    """Breaks when a query has an id without its owner, and when a list is not filtered by it."""
    product = await customer.first_product("category=audio")
    order: Json = (await customer.order("of-the-customer", (product["id"], 1))).json()
    session: Json = (await customer.get("/v1/sessions")).json()["items"][0]
    objects = {"order_id": order["id"], "session_id": session["id"], "provider": None}
    await check_ownership(app, objects, owner=customer, other=other)
    with_id = [one for one in GUARDED if one.path_types]
    score.note(f"0 of {len(with_id)}")


def test_every_scope_admits_machine_clients_to_a_route() -> None:
    assert {scope for one in GUARDED for scope in required_scopes(one)} == set(SCOPES)


def test_every_guard_appears_in_the_openapi_document() -> None:
    assert all(map(authenticates, GUARDED))
