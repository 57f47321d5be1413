"""Changes of webhooks: the receiver of one is a reader, so that a payload may only be restricted."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from restwell._api._changes import Level
from restwell._api._documents import faults_of
from restwell._api._operations import compare_documents
from restwell._api._report import title
from restwell.settings import Settings
from webhook_app import create_app

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Json = dict[str, Any]
DOCUMENT = msgspec.json.encode(create_app(Settings()).documents["/v2"])


def schemas(document: Json) -> Json:
    found: Json = document["components"]["schemas"]
    return found


def paid(document: Json) -> Json:
    found: Json = document["webhooks"]["order.paid"]["post"]
    return found


def drop_field(document: Json) -> None:
    del schemas(document)["OrderChange"]["properties"]["at"]
    schemas(document)["OrderChange"]["required"].remove("at")


def make_optional(document: Json) -> None:
    schemas(document)["OrderChange"]["required"].remove("order")


def add_field(document: Json) -> None:
    schemas(document)["OrderChange"]["properties"]["more"] = {"type": "string"}


def add_value(document: Json) -> None:
    schemas(document)["State"]["enum"].append("lost")


def remove_value(document: Json) -> None:
    schemas(document)["State"]["enum"].remove("paid")


def remove_signature(document: Json) -> None:
    paid(document)["parameters"] = []


def optional_signature(document: Json) -> None:
    paid(document)["parameters"][0]["required"] = False


def add_header(document: Json) -> None:
    paid(document)["parameters"].append(
        {"name": "X-New", "in": "header", "required": True, "schema": {"type": "string"}}
    )


def remove_webhook(document: Json) -> None:
    del document["webhooks"]["order.paid"]


def remove_all(document: Json) -> None:
    del document["webhooks"]


def add_webhook(document: Json) -> None:
    document["webhooks"]["order.lost"] = document["webhooks"]["order.paid"]


def rename_operation(document: Json) -> None:
    paid(document)["operationId"] = "paid"


@pytest.mark.parametrize(
    ("change", "level", "shown"),
    [
        (drop_field, Level.BREAKING, "webhook order.paid: response, OrderChange.at: removed"),
        (make_optional, Level.BREAKING, "webhook order.paid: response, OrderChange.order:"),
        (add_field, Level.SAFE, "webhook order.paid: response, OrderChange.more:"),
        (add_value, Level.RISKY, "webhook order.paid, GET /v2/orders: response, State:"),
        (remove_value, Level.SAFE, "webhook order.paid, GET /v2/orders: response, State:"),
        (remove_signature, Level.BREAKING, "webhook order.paid: header Webhook-Signature of the webhook: removed"),
        (optional_signature, Level.BREAKING, "webhook order.paid: header Webhook-Signature of the webhook: not always"),
        (add_header, Level.SAFE, "webhook order.paid: header X-New of the webhook: added"),
        (remove_webhook, Level.BREAKING, "webhook order.paid: webhook: removed"),
        (remove_all, Level.BREAKING, "webhook report.made, webhook order.paid: webhook: removed"),
        (add_webhook, Level.RISKY, "webhook order.lost: webhook: added"),
        (rename_operation, Level.RISKY, "webhook order.paid: operationId: order_paid_webhook -> paid"),
    ],
)
def test_each_change_of_a_webhook_has_its_class(change: Callable[[Json], None], level: Level, shown: str) -> None:
    """Fails with REQUEST for RESPONSE in the comparison: a dropped field is safe then."""
    old, new = msgspec.json.decode(DOCUMENT), msgspec.json.decode(DOCUMENT)
    change(new)
    assert list(faults_of(new)) == []
    (found,) = compare_documents(old, new, NOW)
    assert (found.level, title(found)[: len(shown)]) == (level, shown)
    assert bool(found.consequence) is bool(found.cure) is (level is not Level.SAFE)


def test_the_first_webhooks_of_an_api_are_safe() -> None:
    old, new = msgspec.json.decode(DOCUMENT), msgspec.json.decode(DOCUMENT)
    assert compare_documents(old, new, NOW) == []
    del old["webhooks"]
    assert {found.level for found in compare_documents(old, new, NOW)} == {Level.SAFE}


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("get",), {}, "/webhooks/order.paid/get: not covered by the comparison"),
        (("post", "callbacks"), {}, "/webhooks/order.paid/post/callbacks: not covered by the comparison"),
        (("post", "security"), [{"key": []}], "/webhooks/order.paid/post/security: [{'key': []}] is not covered"),
        (("post", "responses", "200"), {}, "/webhooks/order.paid/post/responses/200: not covered by the comparison"),
        (("post", "requestBody", "required"), False, "/webhooks/order.paid/post/requestBody/required: False is not"),
        (("post", "requestBody", "content", "text/xml"), {}, "content/text~1xml: not covered by the comparison"),
        (("post", "parameters", 0, "in"), "query", "/webhooks/order.paid/post/parameters/0/in: 'query' is not covered"),
    ],
)
def test_what_is_not_compared_is_refused(path: tuple[Any, ...], value: object, fault: str) -> None:
    """Fails if a keyword of a webhook is ignored."""
    document = msgspec.json.decode(DOCUMENT)
    place = document["webhooks"]["order.paid"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert fault in "; ".join(faults_of(document))
