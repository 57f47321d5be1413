"""Orders: stock is never oversold, retries are idempotent, and users see only their own orders.

Also with the catalogue in another service, on a database of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from api_client import assert_problem, error_paths
from cases import each
from shop_client import ShopClient, product_with
from two_services import ONE, TWO

pytestmark = pytest.mark.parametrize(
    ("mode", "backend"), [(ONE, "sqlite"), (ONE, "postgresql"), (TWO, "postgresql")], indirect=["mode"]
)
Wait = Callable[[], Awaitable[None]]

MISSING = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"


@pytest.mark.slow
async def test_an_order_reserves_stock_and_keeps_its_prices(admin: ShopClient, customer: ShopClient) -> None:
    lamp, chair = await product_with(admin, 5), await product_with(admin, 9, price_cents=200, name="Chair")
    answer = await customer.order("k", (lamp["id"], 2), (chair["id"], 3))
    assert answer.status_code == 201
    order = answer.json()
    assert answer.headers["location"] == f"/v1/orders/{order['id']}"
    assert (order["status"], order["total_cents"], order["currency"]) == ("pending", 3_600, "EUR")
    assert order["items"] == [
        {"product_id": lamp["id"], "name": "Rare Thing", "unit_price_cents": 1_500, "quantity": 2},
        {"product_id": chair["id"], "name": "Chair", "unit_price_cents": 200, "quantity": 3},
    ]
    assert (await customer.stock_of(lamp), await customer.stock_of(chair)) == (3, 6)
    await admin.send("PATCH", f"/v1/products/{lamp['id']}", {"price_cents": 9_999, "name": "Dear"}, if_match="*")
    await admin.send("DELETE", f"/v1/products/{chair['id']}", if_match="*")
    assert (await customer.get(answer.headers["location"])).json() == order


async def test_a_repeated_idempotency_key_returns_the_same_response_without_a_second_order(
    admin: ShopClient, customer: ShopClient
) -> None:
    product = await product_with(admin, 5)
    first = await customer.order("same", (product["id"], 2))
    again = await customer.order("same", (product["id"], 2))
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json(), again.headers["location"]) == (
        201,
        first.json(),
        first.headers["location"],
    )
    assert await customer.stock_of(product) == 3
    assert len((await customer.get("/v1/orders")).json()["items"]) == 1


@pytest.mark.slow
async def test_concurrent_requests_with_one_key_create_one_order(admin: ShopClient, customer: ShopClient) -> None:
    """Fails if the key is read before it is inserted: several orders are created."""
    product = await product_with(admin, 100)
    answers = await asyncio.gather(*(customer.order("concurrent", (product["id"], 1)) for _ in range(25)))
    accepted = [answer for answer in answers if answer.status_code != 503]  # "overloaded", on a busy machine
    assert {answer.status_code for answer in accepted} == {201}
    assert len({answer.json()["id"] for answer in accepted}) == 1
    assert await customer.stock_of(product) == 99


async def test_an_idempotency_key_is_bound_to_one_body_and_one_user(
    admin: ShopClient, customer: ShopClient, other: ShopClient
) -> None:
    product = await product_with(admin, 9)
    first = await customer.order("mine", (product["id"], 1))
    assert_problem(await customer.order("mine", (product["id"], 2)), 422, "idempotency_key_reused")
    theirs = await other.order("mine", (product["id"], 2))
    assert theirs.status_code == 201
    assert theirs.json()["id"] != first.json()["id"]
    assert await customer.stock_of(product) == 6


@each("key", [None, "", "k" * 256, "tab\there"])
async def test_an_order_needs_an_idempotency_key(admin: ShopClient, customer: ShopClient, key: str | None) -> None:
    product = await product_with(admin, 5)
    headers = {} if key is None else {"idempotency_key": key}
    body = {"items": [{"product_id": product["id"], "quantity": 1}]}
    answer = await customer.send("POST", "/v1/orders", body, **headers)
    assert_problem(answer, 400, "idempotency_key_required")
    assert await customer.stock_of(product) == 5


async def test_one_of_two_buyers_gets_the_last_item(admin: ShopClient, customer: ShopClient, other: ShopClient) -> None:
    """Fails without ``stock >= quantity`` in reserve_stock: the check constraint makes the second request a 500."""
    product = await product_with(admin, 1)
    answers = await asyncio.gather(customer.order("a", (product["id"], 1)), other.order("b", (product["id"], 1)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert await customer.stock_of(product) == 0


async def decided(buyer: ShopClient, key: str, *lines: tuple[str, int]) -> int:
    """Order again while the server is overloaded, as it may be on a busy machine. Returns the status."""
    while (answer := await buyer.order(key, *lines)).status_code == 503 and answer.json()["code"] == "overloaded":
        await asyncio.sleep(0.1)
    return answer.status_code


@pytest.mark.slow
async def test_concurrent_buyers_never_oversell_a_product(
    admin: ShopClient, customer: ShopClient, other: ShopClient
) -> None:
    product = await product_with(admin, 10)
    buyers = [(customer, other)[number % 2] for number in range(40)]
    statuses = await asyncio.gather(*(decided(buyer, f"k{n}", (product["id"], 1)) for n, buyer in enumerate(buyers)))
    assert (statuses.count(201), statuses.count(409)) == (10, 30)
    assert await customer.stock_of(product) == 0


@pytest.mark.slow
async def test_orders_for_the_same_products_in_opposite_order_cause_no_deadlock(
    admin: ShopClient, customer: ShopClient, other: ShopClient
) -> None:
    """Fails if products are updated in request order: PostgreSQL detects deadlocks, and each is a 503."""
    one, two = await product_with(admin, 500), await product_with(admin, 500)
    forwards = [decided(customer, f"f{n}", (one["id"], 1), (two["id"], 1)) for n in range(10)]
    backwards = [decided(other, f"b{n}", (two["id"], 1), (one["id"], 1)) for n in range(10)]
    assert {*await asyncio.gather(*forwards, *backwards)} == {201}
    assert (await customer.stock_of(one), await customer.stock_of(two)) == (480, 480)


async def test_an_order_that_exceeds_the_stock_names_the_product_and_reserves_nothing(
    admin: ShopClient, customer: ShopClient
) -> None:
    """Fails if each item is a separate transaction: the stock of the first product stays reserved."""
    plenty, rare = await product_with(admin, 50), await product_with(admin, 1, name="Rare Lamp")
    problem = assert_problem(await customer.order("k", (plenty["id"], 5), (rare["id"], 2)), 409, "out_of_stock")
    assert "Rare Lamp" in problem["detail"]
    assert error_paths(problem) == {"$.items[1].product_id"}
    assert (await customer.stock_of(plenty), await customer.stock_of(rare)) == (50, 1)
    assert (await customer.get("/v1/orders")).json()["items"] == []
    retried = await customer.order("k", (plenty["id"], 5), (rare["id"], 1))
    assert retried.status_code == 201, "the key of a failed request can be reused"


@pytest.mark.slow
@each(
    ("items", "paths"),
    [
        ([], {"$.items"}),
        ("lines", {"$.items"}),
        ([{"product_id": MISSING, "quantity": 0}], {"$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": -1}], {"$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": 10_001}], {"$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": 2**80}], {"$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": 1.5}], {"$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": "1"}], {"$.items[0].quantity"}),
        ([{"product_id": "x"}], {"$.items[0].product_id", "$.items[0].quantity"}),
        ([{"product_id": MISSING, "quantity": 1, "price": 0}], {"$.items[0].price"}),
        ([{"product_id": MISSING, "quantity": 1}] * 2, {"$.items[1].product_id"}),
        ([{"product_id": MISSING, "quantity": 1}], {"$.items[0].product_id"}),
        ([{"product_id": f"0192f0c1-2a3b-7c4d-8e5f-{n:012x}", "quantity": 1} for n in range(100)], {"$.items"}),
    ],
)
async def test_an_invalid_order_is_refused(customer: ShopClient, items: object, paths: set[str]) -> None:
    answer = await customer.send("POST", "/v1/orders", {"items": items}, idempotency_key="k")
    assert error_paths(assert_problem(answer, 422, "invalid")) == paths
    assert (await customer.get("/v1/orders")).json()["items"] == []


async def test_an_order_has_one_currency(admin: ShopClient, customer: ShopClient) -> None:
    euros, dollars = await product_with(admin, 5), await product_with(admin, 5, currency="USD")
    answer = await customer.order("k", (euros["id"], 1), (dollars["id"], 1))
    assert error_paths(assert_problem(answer, 422, "invalid")) == {"$.items[1].product_id"}
    assert (await customer.stock_of(euros), await customer.stock_of(dollars)) == (5, 5)


@pytest.mark.slow
async def test_concurrent_cancellations_release_the_stock_once(
    admin: ShopClient, customer: ShopClient, stock_is_released: Wait
) -> None:
    """Fails if the UPDATE does not check the status: each repeat releases the stock again."""
    product = await product_with(admin, 5)
    order = (await customer.order("k", (product["id"], 4))).json()
    path = f"/v1/orders/{order['id']}/cancellation"
    answers = await asyncio.gather(*(customer.send("POST", path) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(answer.json() == {**order, "status": "cancelled"} for answer in answers)
    await stock_is_released()
    assert await customer.stock_of(product) == 5
    assert (await customer.get(f"/v1/orders/{order['id']}")).json()["status"] == "cancelled"


@pytest.mark.slow
async def test_an_order_with_many_items_is_created_and_cancelled_atomically(
    admin: ShopClient, customer: ShopClient, stock_is_released: Wait
) -> None:
    products = [await product_with(admin, 9, name=f"Thing {number}") for number in range(50)]
    order = (await customer.order("k", *((product["id"], 2) for product in products))).json()
    assert [line["name"] for line in order["items"]] == [f"Thing {number}" for number in range(50)]
    assert await customer.stock_of(products[49]) == 7
    assert (await customer.send("POST", f"/v1/orders/{order['id']}/cancellation")).json()["status"] == "cancelled"
    await stock_is_released()
    assert [await customer.stock_of(product) for product in products] == [9] * 50


async def test_cancelling_an_order_skips_a_deleted_product(
    admin: ShopClient, customer: ShopClient, stock_is_released: Wait
) -> None:
    product = await product_with(admin, 5)
    order = (await customer.order("k", (product["id"], 1))).json()
    await admin.send("DELETE", f"/v1/products/{product['id']}", if_match="*")
    assert (await customer.send("POST", f"/v1/orders/{order['id']}/cancellation")).status_code == 200
    await stock_is_released()


async def test_orders_are_listed_newest_first_page_by_page(
    admin: ShopClient, customer: ShopClient, other: ShopClient
) -> None:
    product = await product_with(admin, 50)
    placed = [(await customer.order(f"k{n}", (product["id"], 1))).json() for n in range(5)]
    theirs = (await other.order("k", (product["id"], 1))).json()
    first = await customer.get("/v1/orders?limit=3")
    cursor = first.json()["next_cursor"]
    rest = (await customer.get(f"/v1/orders?limit=3&cursor={cursor}")).json()
    assert first.json()["items"] + rest["items"] == placed[::-1]
    assert rest["next_cursor"] is None
    assert_problem(await other.get(f"/v1/orders?cursor={cursor}"), 400, "invalid_cursor")
    everyones = (await admin.get("/v1/orders?limit=4")).json()
    assert everyones["items"] == [theirs, *placed[:1:-1]]
    older = (await admin.get(f"/v1/orders?limit=4&cursor={everyones['next_cursor']}")).json()
    assert older["items"] == placed[1::-1]


async def test_an_order_of_another_user_is_not_found_except_by_an_admin(
    admin: ShopClient, customer: ShopClient, other: ShopClient, stock_is_released: Wait
) -> None:
    product = await product_with(admin, 5)
    order = (await customer.order("k", (product["id"], 1))).json()
    path = f"/v1/orders/{order['id']}"
    assert_problem(await other.get(path), 404, "not_found")
    assert_problem(await other.send("POST", f"{path}/cancellation"), 404, "not_found")
    assert (await customer.get(path)).json()["status"] == "pending"
    assert (await admin.get(path)).json() == order
    assert (await admin.send("POST", f"{path}/cancellation")).json()["status"] == "cancelled"
    await stock_is_released()
    assert await customer.stock_of(product) == 5


@each(("method", "path"), [("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", f"/v1/orders/{MISSING}")])
async def test_anonymous_callers_have_no_orders(anyone: ShopClient, method: str, path: str) -> None:
    assert_problem(await anyone.send(method, path), 401, "unauthorized")
