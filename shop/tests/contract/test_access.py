"""Authorization of every route: the access table, and no user reaches the objects of another."""

from pathlib import Path

import pytest

from api_client import Json
from restwell import App
from restwell.grpc import GrpcServer
from restwell.testing import ApiClient, Caller, check_access, check_ownership
from restwell.web._openapi import authenticates, operations, required_scopes
from scoreboard import Score
from shop.access import SCOPES, Role
from shop.app import create_app
from shop.demo import PASSWORD
from shop.settings import ShopSettings
from shop_client import ShopClient

ACCESS = Path(__file__).with_name("access.txt")
"""Who may call each route."""
APP = create_app(ShopSettings())
GUARDED = [one for one in operations(APP.routes) if one.guards]


async def machine(admin: ShopClient, scope: str) -> ApiClient:
    """A new machine client with this scope."""
    made: Json = (await admin.post("/v1/clients", {"name": "a machine", "scopes": [scope]})).json()
    return await ApiClient(admin.client).use_client_credentials(made["id"], made["secret"])


async def api_key(owner: ApiClient, *scopes: str) -> Json:
    """A new API key with these scopes."""
    draft = {"name": "a script", "scopes": scopes, "current_password": PASSWORD}
    made: Json = (await owner.post("/v1/users/me/api-keys", draft)).json()
    return made


@pytest.mark.slow
@pytest.mark.scoreboard("A8", "every route of the shop x {no credentials, each role, each scope}", "0 leaks")
async def test_each_route_admits_the_callers_of_the_access_table_only(
    app: App, customer: ShopClient, admin: ShopClient, score: Score
) -> None:
    """Breaks when a guard is removed, weakened or of another role. That tokens end is tested with the accounts."""
    users = [Caller(customer, role=Role.CUSTOMER), Caller(admin, role=Role.ADMIN)]
    machines = [Caller(await machine(admin, scope), scopes={scope}) for scope in SCOPES]
    keys = [
        Caller(
            ApiClient(user.client.client, (await api_key(user.client, scope))["key"]), role=user.role, scopes={scope}
        )
        for user in users
        for scope in SCOPES
    ]
    await check_access(app, ACCESS.read_text(), [*users, *machines, *keys])
    score.note(f"0 of {len(app.routes)} routes")


@pytest.mark.scoreboard("A8", "every route of the shop with an id x another user", "0 leaks")
async def test_no_user_reaches_an_object_of_another_user(
    app: App, customer: ShopClient, other: ShopClient, score: Score
) -> None:
    """Breaks when a query has an id without its owner, and when a list is not filtered by it."""
    product = await customer.first_product("category=audio")
    order: Json = (await customer.order("of-the-customer", (product["id"], 1))).json()
    session: Json = (await customer.get("/v1/sessions")).json()["items"][0]
    key = await api_key(customer, *SCOPES)
    objects = {"order_id": order["id"], "session_id": session["id"], "key_id": key["id"], "provider": None}
    await check_ownership(app, objects, owner=customer, other=other)
    with_id = [one for one in GUARDED if one.path_types]
    score.note(f"0 of {len(with_id)}")


def test_every_scope_admits_machine_clients_to_an_operation() -> None:
    endpoints = [each.endpoint for each in APP.service(GrpcServer).methods.values()]
    assert {scope for one in (*GUARDED, *endpoints) for scope in required_scopes(one)} == set(SCOPES)


def test_every_guard_appears_in_the_openapi_document() -> None:
    assert all(map(authenticates, GUARDED))
