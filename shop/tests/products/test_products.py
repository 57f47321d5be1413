"""The product catalogue: pagination, filters, search and conditional updates."""

import asyncio
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError

from api_client import Json, assert_problem, error_paths
from cases import each
from restwell import App
from restwell.database import Database
from shop.demo import PRODUCTS
from shop.products.queries import ListShape, page
from shop.products.schemas import PartialProduct, Product, ProductSort
from shop_client import ShopClient

DRAFT = {"name": "Test Lamp", "category": "home", "price_cents": 4_900, "currency": "EUR", "stock": 3}
MISSING = "/v1/products/0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"


async def every_page(api: ShopClient, query: str) -> list[Json]:
    """Return all items of a list by following the Link header."""
    items: list[Json] = []
    path: str | None = f"/v1/products?{query}"
    while path:
        answer = await api.get(path)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        path = answer.links.get("next", {}).get("url")
        assert (path is None) == (answer.json()["next_cursor"] is None)
    return items


async def test_the_pages_of_a_list_hold_every_product_once(anyone: ShopClient) -> None:
    items = await every_page(anyone, "limit=100")
    assert len(items) == len({item["id"] for item in items}) == PRODUCTS
    assert items == sorted(items, key=lambda item: (item["created_at"], item["id"]), reverse=True)


@each("sort", ["created_at", "-created_at", "price_cents", "-price_cents", "name", "-name"])
async def test_a_list_is_sorted_across_pages(anyone: ShopClient, sort: str) -> None:
    items = await every_page(anyone, f"category=audio&limit=50&sort={sort}")
    assert len(items) == PRODUCTS / 8
    key = sort.removeprefix("-")
    assert items == sorted(items, key=lambda item: (item[key], item["id"]), reverse=sort.startswith("-"))


async def test_a_list_is_filtered_by_category_and_price(anyone: ShopClient) -> None:
    items = await every_page(anyone, "category=kitchen&min_price=5000&max_price=10000&limit=100")
    everything = await every_page(anyone, "limit=100")
    expected = [i for i in everything if i["category"] == "kitchen" and 5_000 <= i["price_cents"] <= 10_000]
    assert items == expected
    assert items


@pytest.mark.slow
@each("q", ["wireless headphones", "WIRELESS", "wirel head", "headphones juniper", "cancelling noise"])
async def test_a_search_finds_words_and_prefixes_in_name_and_description(anyone: ShopClient, q: str) -> None:
    found = await every_page(anyone, f"limit=100&q={quote(q)}")
    everything = await every_page(anyone, "limit=100")

    def matches(item: Json) -> bool:
        words = f"{item['name']} {item['description']}".lower().replace("-", " ").replace(".", " ").split()
        return all(any(word.startswith(part) for word in words) for part in q.lower().split())

    assert found == [item for item in everything if matches(item)]
    assert found


@each("q", ["'", '"', "*", "a' OR 1=1 --", "NEAR(", "x & | !", ":*", "\\", "%", "💡"])
async def test_a_search_is_never_read_as_an_expression(anyone: ShopClient, q: str) -> None:
    answer = await anyone.get(f"/v1/products?q={quote(q)}")
    assert answer.status_code == 200
    assert all(item["name"] for item in answer.json()["items"])


@pytest.mark.slow
async def test_a_search_finds_changed_products_and_no_deleted_ones(admin: ShopClient) -> None:
    made = await admin.send("POST", "/v1/products", {**DRAFT, "name": "Zyzzyva Lamp"})
    path = made.headers["location"]
    assert [item["id"] for item in await every_page(admin, "q=zyzzyva")] == [made.json()["id"]]
    changed = await admin.send("PATCH", path, {"name": "Quokka Lamp"}, if_match=made.headers["etag"])
    assert await every_page(admin, "q=zyzzyva") == []
    assert len(await every_page(admin, "q=quokka")) == 1
    await admin.send("DELETE", path, if_match=changed.headers["etag"])
    assert await every_page(admin, "q=quokka") == []


async def test_a_list_has_only_the_requested_fields(anyone: ShopClient) -> None:
    items = await every_page(anyone, "category=toys&fields=price_cents,name&sort=name&limit=40")
    assert len(items) == PRODUCTS / 8
    assert {tuple(item) for item in items} == {("name", "price_cents")}


@pytest.mark.slow
@each("query", ["limit=2", "fields=id", "fields=price_cents,name,created_at", "fields=name&q=lamp"])
async def test_a_list_matches_its_openapi_schema(app: App, anyone: ShopClient, query: str) -> None:
    """Regression: with ``fields=``, products lacked required fields of their schema."""
    answer = await anyone.get(f"/v1/products?{query}")
    document = app.documents["/v1"]
    documented = document["paths"]["/v1/products"]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**documented["schema"], "components": document["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(answer.json())
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate({"items": [{"price_cents": "12"}], "next_cursor": None})


def test_every_field_of_a_product_can_be_requested() -> None:
    assert PartialProduct.__struct_fields__ == Product.__struct_fields__


async def test_a_list_reads_only_the_requested_columns(database: Database) -> None:
    shape = ListShape(ProductSort.A_TO_Z, category=False, q=False, min_price=False, max_price=False, fields=("stock",))
    assert page(shape).first.columns == ("stock", "name", "id")
    assert set((await database.all(page(shape).first, count=1))[0]) == {"stock", "name", "id"}


@each(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("min_price=-1", "min_price"),
        ("max_price=99999999999999999999", "max_price"),
        ("sort=stock", "sort"),
        ("fields=name,secret", "fields"),
        ("fields=", "fields"),
        ("cursor=", "cursor"),
        ("category=No%20Slug", "category"),
        ("category=audio%0A", "category"),
        ("category=%00", "category"),
        ("q=", "q"),
        (f"q={'a' * 101}", "q"),
        (f"cursor={'a' * 2049}", "cursor"),
    ],
)
async def test_an_invalid_query_of_a_list_is_refused(anyone: ShopClient, query: str, path: str) -> None:
    problem = assert_problem(await anyone.get(f"/v1/products?{query}"), 422, "invalid")
    assert error_paths(problem) == {path}


@pytest.mark.slow
@each("query", ["q=%FF", "q=%ED%A0%80"])
async def test_a_query_that_is_not_utf8_is_refused(anyone: ShopClient, query: str) -> None:
    assert_problem(await anyone.get(f"/v1/products?{query}"), 400, "malformed_request")


async def test_a_cursor_that_is_forged_or_of_another_list_is_refused(anyone: ShopClient) -> None:
    cursor = (await anyone.get("/v1/products?limit=1")).json()["next_cursor"]
    tampered = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for query in (
        "cursor=nonsense",
        "cursor=%C3%A9",
        f"cursor={tampered}",
        f"cursor={cursor}&category=audio",
        f"cursor={cursor}&sort=name",
    ):
        assert_problem(await anyone.get(f"/v1/products?{query}"), 400, "invalid_cursor")


async def test_unknown_query_parameters_are_ignored(anyone: ShopClient) -> None:
    assert (await anyone.get("/v1/products?limit=1&utm_source=mail")).status_code == 200


async def test_a_product_has_a_strong_etag_and_answers_304_until_it_changes(
    anyone: ShopClient, customer: ShopClient
) -> None:
    product = await anyone.first_product()
    path = f"/v1/products/{product['id']}"
    answer = await anyone.get(path)
    etag = answer.headers["etag"]
    assert etag == f'"{product["version"]}.v1"'
    for held in (etag, f'"other", W/{etag}', "*"):
        unchanged = await anyone.get(path, if_none_match=held)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == etag
    assert (await anyone.get(path, if_none_match='"other"')).status_code == 200
    await customer.order("etag-key", (product["id"], 1))
    assert (await anyone.get(path, if_none_match=etag)).status_code == 200


async def test_an_order_reads_one_product_of_a_list_again_and_no_ids(app: App, customer: ShopClient) -> None:
    """Fails if an order invalidates the tags of lists, or if the rows of a list share a tag.

    Two tags may share a generation by chance, hence two products: it does not happen to both.
    """
    stats, path = app.kit.cache.metrics.stats, "/v1/products?category=audio&limit=20"
    loads = []
    for index in (3, 7):
        before = (await customer.get(path)).json()
        ids, rows = stats["products.page_ids"].loads, stats["product"].loads
        await customer.order(f"list-key-{index}", (before["items"][index]["id"], 1))
        after = (await customer.get(path)).json()
        changed = [one["stock"] - two["stock"] for one, two in zip(before["items"], after["items"], strict=True)]
        assert changed == [int(each == index) for each in range(20)]
        loads.append((stats["products.page_ids"].loads - ids, stats["product"].loads - rows))
    assert (0, 1) in loads


async def test_a_list_follows_every_change_of_its_products(admin: ShopClient) -> None:
    """Fails if a change of a category or a price invalidates only the product."""
    path = "/v1/products?sort=price_cents&category="

    async def ids(category: str) -> list[str]:
        return [item["id"] for item in (await admin.get(path + category)).json()["items"]]

    assert (await ids("one"), await ids("two")) == ([], [])
    made = [
        (await admin.send("POST", "/v1/products", {**DRAFT, "category": "one", "price_cents": price})).json()["id"]
        for price in (100, 200)
    ]
    assert await ids("one") == made
    await admin.send("PATCH", f"/v1/products/{made[0]}", {"price_cents": 300}, if_match="*")
    assert await ids("one") == made[::-1]
    await admin.send("PATCH", f"/v1/products/{made[0]}", {"category": "two"}, if_match="*")
    assert (await ids("one"), await ids("two")) == ([made[1]], [made[0]])
    await admin.send("DELETE", f"/v1/products/{made[1]}", if_match="*")
    assert await ids("one") == []


async def test_an_admin_creates_changes_and_deletes_a_product(admin: ShopClient) -> None:
    made = await admin.send("POST", "/v1/products", DRAFT)
    assert made.status_code == 201
    product = made.json()
    path = made.headers["location"]
    assert path == f"/v1/products/{product['id']}"
    assert product == {**product, **DRAFT, "description": "", "version": 1}
    answer = await admin.send(
        "PATCH", path, {"stock": 9, "description": "Bright.\nTwo lines."}, if_match=made.headers["etag"]
    )
    changed = answer.json()
    assert answer.headers["etag"] == '"2.v1"'
    assert changed == {
        **product, "stock": 9, "description": "Bright.\nTwo lines.", "version": 2, "updated_at": changed["updated_at"],
    }  # fmt: skip
    assert (await admin.get(path)).json() == changed
    emptied = await admin.send("PATCH", path, {"description": None}, if_match='"2.v1"')
    assert emptied.json()["description"] == ""
    assert (await admin.send("DELETE", path, if_match='"3.v1"')).status_code == 204
    assert_problem(await admin.get(path), 404, "not_found")


@pytest.mark.slow
async def test_a_change_of_a_product_needs_the_current_etag(admin: ShopClient) -> None:
    made = await admin.send("POST", "/v1/products", DRAFT)
    path = made.headers["location"]
    for method, body in (("PATCH", {"stock": 0}), ("DELETE", None)):
        assert_problem(await admin.send(method, path, body), 428, "precondition_required")
        for stale in ('"7.v1"', 'W/"7.v1"', "nonsense", '"one"'):
            assert_problem(await admin.send(method, path, body, if_match=stale), 412, "precondition_failed")
        assert_problem(await admin.send(method, MISSING, body, if_match='"1.v1"'), 404, "not_found")
    assert (await admin.get(path)).json() == made.json()
    assert (await admin.send("PATCH", path, {"stock": 1}, if_match='"5.v1", "1.v1"')).status_code == 200
    assert (await admin.send("PATCH", path, {"stock": 2}, if_match="*")).status_code == 200


async def test_one_of_several_changes_of_one_version_succeeds(admin: ShopClient) -> None:
    """Fails if the UPDATE does not compare the version: both succeed, and one update is lost."""
    made = await admin.send("POST", "/v1/products", DRAFT)
    path, etag = made.headers["location"], made.headers["etag"]
    changes = [admin.send("PATCH", path, {"stock": stock}, if_match=etag) for stock in range(8)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*changes))
    assert statuses == [200] + [412] * 7


async def statuses_of(*requests: Coroutine[Any, Any, httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in await asyncio.gather(*requests))


@pytest.mark.slow
async def test_every_concurrent_change_with_if_match_star_succeeds(admin: ShopClient) -> None:
    """RFC 9110 section 13.1.1: `*` matches any existing product. Regression: all updates but the first got a 412."""
    path = (await admin.send("POST", "/v1/products", DRAFT)).headers["location"]
    assert await statuses_of(*(admin.send("PATCH", path, {"stock": n}, if_match="*") for n in range(8))) == [200] * 8
    assert (await admin.get(path)).json()["version"] == 9


@pytest.mark.slow
async def test_concurrent_changes_succeed_once_for_each_version_in_if_match(admin: ShopClient) -> None:
    """Regression: an update was rejected if its list also named the next version."""
    path = (await admin.send("POST", "/v1/products", DRAFT)).headers["location"]
    changes = (admin.send("PATCH", path, {"stock": n}, if_match='"1.v1", W/"2.v1", "3.v1-gzip"') for n in range(8))
    assert await statuses_of(*changes) == [200] * 3 + [412] * 5


@pytest.mark.slow
@pytest.mark.parametrize("if_match", ['"1.v1"', "*"])
async def test_one_of_several_concurrent_deletes_succeeds_and_the_others_get_a_404(
    admin: ShopClient, if_match: str
) -> None:
    """Regression: the status was 412, unlike the 404 of other routes."""
    path = (await admin.send("POST", "/v1/products", DRAFT)).headers["location"]
    assert await statuses_of(*(admin.send("DELETE", path, if_match=if_match) for _ in range(8))) == [204] + [404] * 7


async def test_an_update_concurrent_with_a_delete_happens_before_or_after_it(admin: ShopClient) -> None:
    for if_match, found in (("*", {200, 204, 404}), ('"1.v1"', {200, 204, 404, 412})):
        path = (await admin.send("POST", "/v1/products", DRAFT)).headers["location"]
        changes = [admin.send("PATCH", path, {"stock": n}, if_match=if_match) for n in range(6)]
        deletion = admin.send("DELETE", path, if_match=if_match)
        statuses = await statuses_of(*changes[:3], deletion, *changes[3:])
        assert set(statuses) <= found
        assert statuses.count(204) + (statuses.count(200) if if_match != "*" else 0) == 1
        assert not {404, 412} <= set(statuses), "either deleted or updated"
        assert (await admin.get(path)).status_code == (404 if 204 in statuses else 200)


async def test_an_etag_modified_by_a_compressing_proxy_still_matches_its_version(admin: ShopClient) -> None:
    path = (await admin.send("POST", "/v1/products", DRAFT)).headers["location"]
    for number, tag in enumerate(('W/"1.v1"', '"2.v1-gzip"', 'W/"3.v1-gzip"'), start=1):
        assert (await admin.send("PATCH", path, {"stock": number}, if_match=tag)).status_code == 200
        assert_problem(await admin.send("PATCH", path, {"stock": 0}, if_match=tag), 412, "precondition_failed")


@each(
    ("body", "paths"),
    [
        ({}, {"$.name", "$.category", "$.price_cents", "$.currency", "$.stock"}),
        ({**DRAFT, "price_cents": -1, "stock": -1}, {"$.price_cents", "$.stock"}),
        ({**DRAFT, "price_cents": 12.5}, {"$.price_cents"}),
        ({**DRAFT, "price_cents": "4900"}, {"$.price_cents"}),
        ({**DRAFT, "stock": 2**31}, {"$.stock"}),
        ({**DRAFT, "stock": 2**64}, {"$.stock"}),
        ({**DRAFT, "stock": True}, {"$.stock"}),
        ({**DRAFT, "currency": "euro"}, {"$.currency"}),
        ({**DRAFT, "category": "No Slug"}, {"$.category"}),
        ({**DRAFT, "description": "a\u0000b"}, {"$.description"}),
        ({**DRAFT, "description": "a" * 5_001}, {"$.description"}),
        ({**DRAFT, "id": "x", "version": 9}, {"$.id", "$.version"}),
    ],
)
async def test_an_invalid_product_is_refused(admin: ShopClient, body: Json, paths: set[str]) -> None:
    problem = assert_problem(await admin.send("POST", "/v1/products", body), 422, "invalid")
    assert error_paths(problem) == paths


@pytest.mark.slow
@each("body", [{"stock": None}, {"name": None}, {"stock": -1}, {"colour": "red"}])
async def test_an_invalid_patch_of_a_product_is_refused(admin: ShopClient, body: Json) -> None:
    product = await admin.first_product()
    path = f"/v1/products/{product['id']}"
    problem = assert_problem(await admin.send("PATCH", path, body, if_match="*"), 422, "invalid")
    assert error_paths(problem) == {f"$.{next(iter(body))}"}
    assert (await admin.get(path)).json() == product


async def test_only_admins_change_the_catalogue(customer: ShopClient, anyone: ShopClient) -> None:
    product = await anyone.first_product()
    path = f"/v1/products/{product['id']}"
    for method, where, body in (("POST", "/v1/products", DRAFT), ("PATCH", path, {"stock": 1}), ("DELETE", path, None)):
        assert_problem(await customer.send(method, where, body, if_match="*"), 403, "forbidden")
        assert_problem(await anyone.send(method, where, body, if_match="*"), 401, "unauthorized")
    assert (await anyone.get(path)).json() == product
