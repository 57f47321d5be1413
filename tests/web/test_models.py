"""Pydantic models as bodies and results: hostile bodies, error paths and their schemas."""

import json
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Struct
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator

from controller_server import serve_controllers, settings_in
from fuzzing import InProcess, Response, checked_status
from restwell import Restwell
from restwell.pages import Page
from restwell.web import Controller, Version, get, patch, post
from restwell.web._models import MAX_MODEL_VALUES
from restwell.web._validation import MAX_CHARS, MAX_ERRORS
from tiny.app import app_of

ID = "018f0000-abcd-7000-8000-000000000001"
T = TypeVar("T")


class Color(StrEnum):
    RED = "red"
    YELLOW = "yellow"


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]
    cents: int


class Line(BaseModel):
    product: str
    quantity: Annotated[int, Field(ge=1)] = 1


class Draft(BaseModel):
    """An order to be."""

    model_config = ConfigDict(extra="forbid")

    lines: list[Line] = []
    customer_id: Annotated[UUID | None, Field(alias="customerId")] = None
    at: datetime | None = None
    color: Color = Color.RED
    payment: Annotated[Card | Cash | None, Field(discriminator="kind")] = None
    notes: dict[str, int] = {}
    either: int | list[int] = 0

    @field_validator("color")
    @classmethod
    def is_in_stock(cls, color: Color) -> Color:
        if color is Color.YELLOW:
            raise ValueError("out of stock")
        return color

    @computed_field  # type: ignore[prop-decorator]  # as in the documentation of Pydantic
    @property
    def total(self) -> int:
        return sum(line.quantity for line in self.lines)


class Node(BaseModel):
    children: list["Node"] = []


class Box(BaseModel, Generic[T]):
    content: T


class Envelope(Struct, frozen=True):
    order: Draft
    color: Color


class Orders(Controller):
    path = "/orders"

    @post(status_code=200)
    async def add(self, data: Draft) -> Draft:
        """Add an order."""
        return data

    @patch()
    async def change(self, data: list[Line] | None) -> list[Line]:
        """Change lines."""
        return data or []

    @post("/nodes", status_code=200)
    async def add_node(self, data: Node) -> Node:
        """Add a node."""
        return data

    @get("/envelope")
    async def envelope(self) -> Envelope:
        """A Struct with a model."""
        return Envelope(Draft.model_validate({"customerId": ID}), Color.RED)

    @get("/page")
    async def page(self) -> Page[Line]:
        """A page of models."""
        return Page([Line(product="a")], None)

    @get("/box")
    async def box(self) -> Box[Line]:
        """A generic model."""
        return Box(content=Line(product="a"))

    @get("/payment")
    async def payment(self) -> Card | Cash:
        """One of two models."""
        return Cash(kind="cash", cents=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("orders"), Orders) as started:
        yield started


def send(server: InProcess, body: bytes, path: str = "", content_type: bytes = b"application/json") -> Response:
    return server.send("POST", f"/v1/orders{path}", [(b"content-type", content_type)], body)


def test_a_model_is_decoded_and_encoded_by_alias(server: InProcess) -> None:
    """Breaks when results are encoded by field name: they then differ from the OpenAPI document."""
    response = send(server, b'{"lines": [{"product": "a", "quantity": 2}], "customerId": "%s"}' % ID.encode())
    assert response.status == 200
    order = msgspec.json.decode(response.body)
    assert (order["lines"], order["customerId"], order["total"]) == ([{"product": "a", "quantity": 2}], ID, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}{}",
        b"{}\x00",
        b'{"lines": [], "lines": []}',
        b'{"lines": [{"product": "a", "quantity": 1, "quantity": 2}]}',
        b'{"lines": [{"product": "a", "qu\\u0061ntity": 1, "quantity": 2}]}',
        b'{"either": NaN}',
        b'{"either": -Infinity}',
        b'{"lines": [{"product": "\\ud800"}]}',
        b'{"lines": [{"product": "\xff"}]}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"lines": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"lines": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"either": ' + b"[" * 9_000,
        b'{"either": 1' + b"0" * 5_000 + b"}",
        b'{"either": [%s]}' % b",".join([b"1"] * (MAX_MODEL_VALUES + 1)),
    ],
    ids=range(18),
)
def test_a_body_that_is_not_json_is_refused(server: InProcess, body: bytes) -> None:
    """Breaks with Pydantic alone: it uses the last of two values, and accepts NaN."""
    assert checked_status(send(server, body)) == "400"


def test_a_model_of_a_depth_that_pydantic_accepts_is_decoded(server: InProcess) -> None:
    """Breaks when a recursive model overflows the stack, in the request or in the response."""
    for depth, status in ((50, "200"), (190, "400"), (5_000, "400")):
        body = b'{"children": [' * depth + b"]}" * depth
        assert checked_status(send(server, body, "/nodes")) in {status, "200" if depth == 190 else status}


def test_the_content_type_and_the_size_of_a_body_are_checked(server: InProcess) -> None:
    assert checked_status(send(server, b"{}", content_type=b"text/plain")) == "415"
    assert checked_status(send(server, b" " * 2_000_000)) == "413"
    patched = server.send("PATCH", "/v1/orders", [(b"content-type", b"application/merge-patch+json")], b"[]")
    assert (patched.status, patched.body) == (200, b"[]")


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b"[]", "$", "object"),
        (b"null", "$", "object"),
        (b'{"lines": [{"product": "a"}, {}]}', "$.lines[1].product", "required"),
        (b'{"lines": [{"product": "a", "quantity": "1"}]}', "$.lines[0].quantity", "integer"),
        (b'{"lines": [{"product": "a", "quantity": 1.0}]}', "$.lines[0].quantity", "integer"),
        (b'{"lines": [{"product": "a", "quantity": true}]}', "$.lines[0].quantity", "integer"),
        (b'{"lines": [{"product": "a", "quantity": 0}]}', "$.lines[0].quantity", "greater than"),
        (b'{"lines": [{"product": null}]}', "$.lines[0].product", "string"),
        (b'{"customer_id": "x"}', "$.customer_id", "unknown field"),
        (b'{"customerId": "x"}', "$.customerId", "UUID"),
        (b'{"at": 1700000000}', "$.at", "datetime"),
        (b'{"color": "green"}', "$.color", "'red' or 'yellow'"),
        (b'{"color": "yellow"}', "$.color", "out of stock"),
        (b'{"payment": {"kind": "cash"}}', "$.payment.cents", "required"),
        (b'{"payment": {"kind": "other"}}', "$.payment", "expected tags"),
        (b'{"notes": {"a": "1"}}', "$.notes.a", "integer"),
        (b'{"either": [1, "2"]}', "$.either[1]", "integer"),
    ],
)
def test_a_field_error_has_its_json_path(server: InProcess, body: bytes, path: str, message: str) -> None:
    """Breaks in the lax mode of Pydantic, and when the names of the types of a union are in the path."""
    response = send(server, body)
    assert checked_status(response) == "422", response.body
    errors = msgspec.json.decode(response.body)["errors"]
    assert [each for each in errors if each["path"] == path and message in each["message"]], errors


def test_the_report_on_an_invalid_body_is_bounded(server: InProcess) -> None:
    """Breaks without the limits: the response is larger than the request, with the request in it."""
    body = {"lines": [{}] * 4_000, **{f"{'n' * 1_000}{number}": 1 for number in range(60)}, "color": "c" * 10_000}
    response = send(server, json.dumps(body).encode())
    assert checked_status(response) == "422"
    errors = msgspec.json.decode(response.body)["errors"]
    assert len(errors) == MAX_ERRORS
    assert max(len(each["path"] + each["message"]) for each in errors) < 2 * MAX_CHARS + 10
    assert len(send(server, b'{"%s": 1}' % (b"n" * 10_000)).body) < 1_000


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("page", {"items": [{"product": "a", "quantity": 1}], "next_cursor": None}),
        ("box", {"content": {"product": "a", "quantity": 1}}),
        ("payment", {"kind": "cash", "cents": 1}),
    ],
)
def test_a_result_may_be_or_contain_models(server: InProcess, path: str, expected: Any) -> None:
    assert msgspec.json.decode(server.send("GET", f"/v1/orders/{path}").body) == expected


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return app_of(settings_in(tmp_path_factory.mktemp("document")), Orders).openapi


def test_the_schemas_of_models_are_components(document: Any) -> None:
    """Breaks when a schema of Pydantic is inserted as it is: its ``$defs`` refer to the root of the document."""
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    schemas = document["components"]["schemas"]
    assert "$defs" not in json.dumps(document)
    names = {"Card", "Cash", "Color", "DraftInput", "DraftOutput", "Line", "LineBox"}
    assert names | {"LinePage", "Envelope"} <= set(schemas), sorted(schemas)
    assert [name for name in schemas if not name.isalnum()] == []
    assert "total" in schemas["DraftOutput"]["required"]
    assert "total" not in schemas["DraftInput"]["properties"]
    assert "customerId" in schemas["DraftInput"]["properties"]
    assert schemas["Envelope"]["properties"]["order"] == {"$ref": "#/components/schemas/DraftOutput"}
    assert schemas["DraftInput"]["description"] == "An order to be."


@pytest.mark.parametrize("path", ["/envelope", "/page", "/box", "/payment"])
def test_a_result_matches_its_documented_schema(server: InProcess, document: Any, path: str) -> None:
    """Breaks when results are documented as bodies: a computed field is then missing."""
    operation = document["paths"][f"/v1/orders{path}"]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    validator = Draft202012Validator({**content["schema"], "components": document["components"]})
    validator.validate(msgspec.json.decode(server.send("GET", f"/v1/orders{path}").body))
    validator.validate(content["example"])


def test_the_example_of_a_body_is_accepted(server: InProcess, document: Any) -> None:
    """Seen to fail: the example of a type that contains itself overflowed the stack."""
    for path in ("", "/nodes"):
        body = document["paths"][f"/v1/orders{path}"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert checked_status(send(server, json.dumps(body).encode(), path)) == "200", body


def test_two_models_of_one_name_are_refused_at_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Breaks without the check: one of the two has its Python module path as its name, or replaces the other."""
    other_line = type("Line", (BaseModel,), {"__annotations__": {"n": int}, "__module__": "other"})
    struct_line = msgspec.defstruct("Card", [("n", int)])
    settings = settings_in(tmp_path_factory.mktemp("names"))
    for duplicate in (other_line, struct_line):

        class Duplicates(Controller):
            path = "/duplicates"

            @get("/other")
            async def read_other(self) -> duplicate:  # type: ignore[valid-type]
                """Read the other."""

        with pytest.raises(TypeError, match="types with the same name in the OpenAPI document"):
            Restwell(settings, name="names").app([Version("/v1", [Orders, Duplicates])])


def test_a_body_of_models_and_structs_is_refused_at_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Breaks when it is found out by the first request."""

    class Mixed(Controller):
        path = "/mixed"

        @post()
        async def add(self, data: Envelope) -> None:
            """Add."""

    with pytest.raises(TypeError, match=r"Mixed.add \(POST /v1/mixed\) takes data: Pydantic cannot decode .*Envelope"):
        app_of(settings_in(tmp_path_factory.mktemp("mixed")), Mixed)
