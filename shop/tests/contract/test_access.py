"""Authorization of every route: expired tokens are rejected, and no user reaches the objects of another user."""

import time
from typing import Any

import httpx
import pytest
from joserfc import jwt

from api_client import Json
from restwell.auth._signing_keys import from_secrets
from restwell.web import requires_role
from restwell.web._openapi import authenticates, operations, required_scopes
from scoreboard import Score
from shop.access import SCOPES
from shop.app import create_app
from shop.settings import ShopSettings
from shop_client import ShopClient

SOME_ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
OPERATIONS = [(one.path, one.method, one) for one in operations(create_app(ShopSettings()).routes)]
GUARDED = [one for one in OPERATIONS if one[2].guards]
PUBLIC = {"products", "identities"}
"""Collections without an owner."""


def path_with(path: str, *ids: str) -> str:
    """The path with these ids, and unknown ids for the other parameters."""
    given = [*ids, *([SOME_ID] * path.count("{"))]
    for one in given[: path.count("{")]:
        before, _, rest = path.partition("{")
        path = f"{before}{one}{rest.partition('}')[2]}"
    return path


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


@pytest.mark.scoreboard("A8", "every guarded route x expired and revoked tokens", "0 leaks")
async def test_every_route_refuses_an_expired_or_revoked_token(
    client: httpx.AsyncClient, settings: ShopSettings, score: Score
) -> None:
    """Breaks when the expiry of a token, or the end of its session or account, is not checked."""
    tokens = await tokens_that_are_over(client, settings)
    leaks = []
    for name, token in tokens.items():
        for path, method, _ in GUARDED:
            answer = await client.request(method, path_with(path), headers={"authorization": f"Bearer {token}"})
            if answer.status_code != 401:
                leaks.append((name, method, path, answer.status_code))
    score.note(f"{len(leaks)} of {len(GUARDED) * len(tokens)}: {', '.join(tokens)}")
    assert leaks == []


@pytest.fixture
async def owned(customer: ShopClient, admin: ShopClient) -> dict[str, str]:
    """Create an object of one user in each collection."""
    product = await customer.first_product("category=audio")
    order = (await customer.order("of-the-customer", (product["id"], 1))).json()
    report: Json = (
        await admin.send("POST", "/v1/reports", {"first_day": "2026-01-01", "last_day": "2026-01-31"})
    ).json()
    jobs: Json = (await admin.get("/v1/jobs?state=ready")).json()
    return {
        "orders": order["id"],
        "sessions": (await customer.get("/v1/sessions")).json()["items"][0]["id"],
        "users": (await customer.get("/v1/users/me")).json()["id"],
        "reports": report["id"],
        "jobs": jobs["items"][0]["id"],
        "clients": (await machine(admin, *SCOPES))["id"],
    }


@pytest.mark.scoreboard("A8", "every route with an id x {another user, no user}", "0 leaks")
async def test_no_user_reaches_an_object_of_another_user(
    owned: dict[str, str], other: ShopClient, client: httpx.AsyncClient, score: Score
) -> None:
    """Breaks when a query has an id without its owner. A new collection must be listed here."""
    leaks, tried = [], 0
    for path, method, endpoint in OPERATIONS:
        collection = path.split("/")[2]
        if "{" not in path or (collection in PUBLIC and method == "GET"):
            continue
        object_id = owned.get(collection, SOME_ID) if collection in PUBLIC else owned[collection]
        expected = 403 if any(isinstance(guard, requires_role) for guard in endpoint.guards) else 404
        answer = await other.send(method, path_with(path, object_id), {} if method == "PATCH" else None)
        anonymous = await ShopClient(client).send(method, path_with(path, object_id), {} if method == "PATCH" else None)
        tried += 2
        if (answer.status_code, anonymous.status_code) != (expected, 401):
            leaks.append((method, path, answer.status_code, anonymous.status_code))
    score.note(f"{len(leaks)} of {tried}")
    assert leaks == []


async def test_a_list_holds_only_objects_of_the_caller(owned: dict[str, str], other: ShopClient) -> None:
    """Breaks when a list is not filtered by its owner."""
    for path, method, endpoint in GUARDED:
        if method == "GET" and "{" not in path and not _roles_of(endpoint):
            assert not set(owned.values()) & set(_texts_in((await other.get(path)).json()))


@pytest.mark.scoreboard("A8", "every guarded route x each scope of a machine client", "0 leaks")
async def test_a_machine_client_reaches_only_the_routes_of_its_scopes(
    client: httpx.AsyncClient, admin: ShopClient, score: Score
) -> None:
    """Every route rejects a token without its scope. A route without a scope rejects every machine client."""
    made = await machine(admin, *SCOPES)
    tokens = {scope: await token_of(client, made, scope) for scope in SCOPES}
    leaks = []
    for path, method, endpoint in GUARDED:
        for scope, token in tokens.items():
            answer = await client.request(method, path_with(path), headers={"authorization": f"Bearer {token}"})
            refused = answer.status_code == 403 and answer.json()["code"] == "insufficient_scope"
            if refused == (scope in required_scopes(endpoint)) or answer.status_code == 401:
                leaks.append((scope, method, path, answer.status_code))
    score.note(f"{len(leaks)} of {len(GUARDED) * len(tokens)}")
    assert leaks == []
    assert {scope for one in GUARDED for scope in required_scopes(one[2])} == set(SCOPES)


def test_every_guard_appears_in_the_openapi_document() -> None:
    assert all(authenticates(one[2]) for one in GUARDED)


def _roles_of(endpoint: Any) -> list[str]:
    return [role for guard in endpoint.guards if isinstance(guard, requires_role) for role in guard.roles]


def _texts_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts_in(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts_in(inner)]
    return [value] if isinstance(value, str) else []
