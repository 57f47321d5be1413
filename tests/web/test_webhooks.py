"""Webhooks in the OpenAPI document."""

from typing import Any

import msgspec
import pytest

from restwell import Restwell
from restwell.settings import Settings
from restwell.web import Feature, Version, Webhook
from webhook_app import PAID, Order, OrderChange, create_app


def test_a_webhook_is_in_the_document_of_its_version_with_an_example(tiny_settings: Settings) -> None:
    """Fails if the schemas of a payload are not among the components, as no path refers to them."""
    app = create_app(tiny_settings)
    assert [sorted(app.documents[prefix]["webhooks"]) for prefix in ("/v1", "/v2")] == [
        ["report.made"],
        ["order.paid", "report.made"],
    ]
    described = app.documents["/v2"]["webhooks"]["order.paid"]["post"]
    content = described["requestBody"]["content"]["application/json"]
    change = msgspec.convert(content["example"], OrderChange)
    assert isinstance(change.order, Order)
    assert content["schema"] == {"$ref": "#/components/schemas/OrderChange"}
    assert {"OrderChange", "Order", "Line", "State", "ReportMade"} <= app.documents["/v2"]["components"][
        "schemas"
    ].keys()
    assert "OrderChange" not in app.documents["/v1"]["components"]["schemas"]
    assert (described["operationId"], described["summary"]) == ("order_paid_webhook", "An order was paid")
    assert described["description"] == "Sent once for each payment."
    (signature,) = described["parameters"]
    assert (signature["name"], signature["in"], signature["required"]) == ("Webhook-Signature", "header", True)
    assert "description" not in app.documents["/v2"]["webhooks"]["report.made"]["post"]


def test_an_application_without_webhooks_has_none_in_its_document(tiny_settings: Settings) -> None:
    app = Restwell(tiny_settings, name="none").app([Version("/v1", []), Version("/v2", [Feature(webhooks=[PAID])])])
    assert "webhooks" not in app.documents["/v1"]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (("Order paid", OrderChange, "text"), "name must be such as order.paid, not 'Order paid'"),
        (("order.paid", dict, "text"), "Webhook order.paid: payload must be a Struct, not <class 'dict'>"),
        (("order.paid", "OrderChange", "text"), "payload must be a Struct, not 'OrderChange'"),
    ],
)
def test_a_wrong_webhook_is_an_error(values: tuple[Any, ...], fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        Webhook(*values)


def test_two_webhooks_with_one_name_and_other_values_are_errors(tiny_settings: Settings) -> None:
    kit = Restwell(tiny_settings, name="webhooks")
    with pytest.raises(TypeError, match=r"two webhooks have the name order\.paid: rename one of them"):
        kit.app([Feature(webhooks=[PAID]), Feature(webhooks=[PAID])])
    with pytest.raises(TypeError, match="webhooks must be a list of Webhook"):
        Feature(webhooks=[OrderChange])  # type: ignore[list-item]  # the error


def test_an_existing_application_describes_no_webhooks(tiny_settings: Settings) -> None:
    async def existing(*_: object) -> None:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"kit\.wrap serves no controllers"):
        Restwell(tiny_settings, name="old").wrap(existing, features=[Feature(webhooks=[PAID])])
