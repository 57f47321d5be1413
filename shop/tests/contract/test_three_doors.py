"""REST, GraphQL and gRPC admit the same callers to the same handlers, and to the same orders."""

from typing import Any, Final

import grpc
import pytest

from grpc_client import token
from restwell import App
from restwell.graphql import GraphQLServer
from restwell.grpc import GrpcServer
from restwell.settings import GrpcSettings
from restwell.testing import ApiClient, access_table
from scoreboard import Score
from servers import free_port
from shop.access import SCOPES
from shop.demo import PASSWORD
from shop.settings import ShopSettings
from shop.v1.orders_pb2 import CancelOrderRequest, GetOrderRequest
from shop_client import ShopClient

UNKNOWN: Final = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
DOCUMENTS: Final = {
    "list_products": "{ products(first: 1) { nodes { id } } }",
    "get_product": f'{{ product(productId: "{UNKNOWN}") {{ id }} }}',
    "list_orders": "{ orders(first: 1) { nodes { id } } }",
    "get_order": f'{{ order(orderId: "{UNKNOWN}") {{ id }} }}',
    "create_order": "mutation { placeOrder(input: {items: []}) { id } }",
    "cancel_order": f'mutation {{ cancelOrder(orderId: "{UNKNOWN}") {{ id }} }}',
}
"""A document for each handler that all three have."""


@pytest.fixture
def settings(settings: ShopSettings) -> ShopSettings:
    return settings.model_copy(update={"grpc": GrpcSettings(port=free_port())})


def handlers_of(transport: Any) -> dict[str, Any]:
    """The operations of a transport by the name of the handler."""
    names = [each if isinstance(each, str) else each.__name__ for each in transport.handlers]
    return dict(zip(names, transport.operations, strict=False))  # relations, which follow, have none


def test_an_operation_has_the_line_of_its_route_in_the_access_table(app: App) -> None:
    """Fails if a handler has other guards over GraphQL or gRPC than over REST.

    Breaks when ``compile_handlers`` leaves out the guards of the controller.
    """
    rules = {tuple(line.split(None, 2)[:2]): line.split(None, 2)[2] for line in access_table(app).splitlines()}
    routes = {each.name: rules[each.method, each.path] for each in app.routes if (each.method, each.path) in rules}
    shared = 0
    for transport in app.transports:
        for name, operation in handlers_of(transport).items():
            if name in routes:
                assert rules[operation.kind, operation.name] == routes[name], operation.name
                shared += 1
    assert shared >= 2 * len(DOCUMENTS)


@pytest.mark.slow
@pytest.mark.scoreboard(
    "G1",
    "handlers over REST, GraphQL and gRPC x {no credentials, an invalid token, each role, each scope}",
    "0 leaks; the same answers",
)
async def test_no_caller_reaches_by_one_protocol_what_another_refuses(
    app: App, anyone: ShopClient, customer: ShopClient, admin: ShopClient, settings: ShopSettings, score: Score
) -> None:
    """Calls each handler as each caller over sockets and routes. Fails if one protocol admits whom another refuses.

    Breaks when a protocol runs no guards: ``admit`` is not called in ``web/_dispatch.py`` or in ``grpc/_server.py``, or
    no guard in ``GraphQLServer._admit``. Each was tried alone.
    """
    callers: dict[str, ApiClient] = {"anyone": anyone, "customer": customer, "admin": admin}
    callers["invalid"] = ApiClient(anyone.client, "invalid")
    for scope in SCOPES:
        draft = {"name": "a script", "scopes": [scope], "current_password": PASSWORD}
        key = (await customer.post("/v1/users/me/api-keys", draft)).json()["key"]
        callers[f"key with {scope}"] = ApiClient(anyone.client, key)
        made = (await admin.post("/v1/clients", {"name": "a machine", "scopes": [scope]})).json()
        machine = ApiClient(anyone.client)
        callers[f"machine with {scope}"] = await machine.use_client_credentials(made["id"], made["secret"])
    rpcs, fields = handlers_of(app.service(GrpcServer)), handlers_of(app.service(GraphQLServer))
    assert DOCUMENTS.keys() == rpcs.keys() & fields.keys()
    routes = {each.name: each for each in app.routes if each.path.startswith("/v2")}
    seen = set()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc.port}") as channel:
        for name, document in DOCUMENTS.items():
            endpoint = routes[name]
            path = endpoint.path.replace("{product_id}", UNKNOWN).replace("{order_id}", UNKNOWN)
            for who, caller in callers.items():
                body: Any = {"items": []} if name == "create_order" else None
                answers = {
                    "REST": refusal((await caller.send(endpoint.method, path, body)).status_code),
                    "GraphQL": refusal((await caller.post("/graphql", {"query": document})).status_code),
                    "gRPC": await refusal_of(channel, rpcs[name].name, caller),
                }
                assert len(set(answers.values())) == 1, (name, who, answers)
                seen.add(answers["gRPC"])
    assert seen == {0, 401, 403}
    score.note(f"0 of {3 * len(DOCUMENTS) * len(callers)} calls: {len(DOCUMENTS)} handlers, {len(callers)} callers")


@pytest.mark.slow
@pytest.mark.scoreboard("G1", "an order over REST, GraphQL and gRPC x another user", "0 leaks; the same answers")
async def test_no_user_reaches_an_order_of_another_by_any_protocol(
    app: App, customer: ShopClient, other: ShopClient, settings: ShopSettings, score: Score
) -> None:
    """Fails if one protocol finds an order without its owner, or calls the handler as another actor.

    Breaks when the service reads an order by its id alone, and when the resolvers of GraphQL or the methods of gRPC
    keep the request of an earlier call. Each was tried alone.
    """
    product = await customer.first_product("category=audio")
    order_id: str = (await customer.order("of-the-customer", (product["id"], 1))).json()["id"]
    rpcs = handlers_of(app.service(GrpcServer))
    path = f"/v2/orders/{order_id}"
    requests = {"get_order": ("GET", path), "cancel_order": ("POST", f"{path}/cancellation")}
    messages = {"get_order": GetOrderRequest(order_id=order_id), "cancel_order": CancelOrderRequest(order_id=order_id)}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc.port}") as channel:
        for caller, is_owner in ((customer, True), (other, False)):
            answers = [
                (await caller.get("/v2/orders")).content,
                (await caller.post("/graphql", {"query": DOCUMENTS["list_orders"]})).content,
                await call(channel, rpcs["list_orders"].name, caller),
            ]
            assert [order_id.encode() in each for each in answers] == [is_owner] * 3
            for name, message in messages.items():
                query = DOCUMENTS[name].replace(UNKNOWN, order_id)
                answers = [
                    (await caller.send(*requests[name])).content,
                    (await caller.post("/graphql", {"query": query})).content,
                    await call(channel, rpcs[name].name, caller, message.SerializeToString()),
                ]
                assert [b"not_found" in each.lower() for each in answers] == [not is_owner] * 3, (name, answers)
    score.note("0 of 9 calls: read, list and cancel")


def refusal(status: int) -> int:
    return status if status in {401, 403} else 0


async def refusal_of(channel: grpc.aio.Channel, path: str, caller: ApiClient) -> int:
    code = await call(channel, path, caller)
    return {b"UNAUTHENTICATED": 401, b"PERMISSION_DENIED": 403}.get(code, 0)


async def call(channel: grpc.aio.Channel, path: str, caller: ApiClient, sent: bytes = b"") -> bytes:
    """The response, or the name of the status."""
    metadata: Any = token(caller.tokens["access_token"]) if caller.tokens else ()
    method: Any = channel.unary_unary(path)
    try:
        return bytes(await method(sent, metadata=metadata))
    except grpc.aio.AioRpcError as error:
        return error.code().name.encode()
