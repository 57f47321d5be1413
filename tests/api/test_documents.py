"""What the comparison does not cover is refused with its JSON pointer. Nothing is ignored but text for people."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

import accounts_app
import core_app
from restwell import Restwell
from restwell._api._documents import faults_of, parse_instant
from restwell._api._operations import compare_documents
from restwell.settings import Settings
from restwell.web import Controller, Feature, Version, post
from tiny.app import project as tiny

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Json = dict[str, Any]
ACCOUNTS: Json = msgspec.json.decode(msgspec.json.encode(accounts_app.create_app(Settings()).openapi))

TEXT = {"description", "title", "summary", "example", "examples", "value", "info", "links"}
"""For people and tools. The names of the examples of errors are problem codes, which test_operations changes."""
NOT_COMPARED = TEXT | {"default", "examples"}
"""Objects whose keys are values."""


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(gt=0, lt=10, multiple_of=3)


class Dog(BaseModel):
    kind: Literal["dog"]


class Anything(BaseModel):
    """What Pydantic writes and msgspec does not."""

    model_config = ConfigDict(extra="forbid")
    by_name: dict[Annotated[str, StringConstraints(pattern="^a")], int]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    unique: set[int]
    pair: tuple[int, str]
    constant: Literal["x", 1] | None
    old: str = Field("", description="Text.", deprecated=True)
    secret: SecretStr | None = None
    price: Decimal = Decimal(1)
    inner: list["Anything"] = []
    any_value: Any = None


class Everything(Controller):
    path = "/everything"

    @post()
    async def send_back(self, data: Anything) -> Anything:
        """Send it back."""
        return data


def keys_of(part: Any, pointer: str = "") -> Iterator[tuple[Json, str, str]]:
    """Each key of each object, with a JSON pointer."""
    if isinstance(part, dict):
        for key, value in part.items():
            at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            yield part, key, at
            if key not in NOT_COMPARED or pointer.endswith("/properties"):
                yield from keys_of(value, at)
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from keys_of(value, f"{pointer}/{index}")


def is_default(part: Json, key: str) -> bool:
    """Whether a document without the key means the same."""
    if key in {"required", "security", "parameters", "deprecated", "properties", "content"} and not part[key]:
        return True
    if key == "mapping" or (key == "type" and "enum" in part):
        return True  # the alternatives and the values tell the same
    return (key, part[key]) in [("minLength", 0), ("servers", [{"url": "/"}])] or (part is ACCOUNTS and key == "tags")


@pytest.mark.slow
def test_nothing_can_be_removed_unseen() -> None:
    """Each key of the document, at random. Breaks when one more keyword is accepted without being compared."""
    new: Json = msgspec.json.decode(msgspec.json.encode(ACCOUNTS))
    places = [
        (part, key, at)
        for part, key, at in keys_of(new)
        if (key not in TEXT or at.rpartition("/")[0].endswith("/properties")) and not is_default(part, key)
        if "/mapping/" not in at  # the alternatives tell the same
        and "+json/schema/properties" not in at  # the codes of an error: the names of its examples tell the same
    ]
    unseen = []
    for part, key, at in random.Random(7).sample(places, 250):  # noqa: S311  # the same choice in each run
        if at in {"/tags", "/components/securitySchemes"} or (part is new and key == "servers"):
            continue
        before = dict(part)
        del part[key]
        if not (list(faults_of(new)) or compare_documents(ACCOUNTS, new, NOW)):
            unseen.append(at)
        part.clear()
        part.update(before)
    assert unseen == []
    assert new == ACCOUNTS


@pytest.mark.slow
def test_an_unknown_keyword_is_refused_wherever_it_is() -> None:
    """Breaks when an object of the document is not checked."""
    new: Json = msgspec.json.decode(msgspec.json.encode(ACCOUNTS))
    objects = {
        at: value
        for part, key, at in keys_of(new)
        if isinstance(value := part[key], dict)
        and key not in NOT_COMPARED | {"paths", "properties", "schemas", "securitySchemes", "mapping", "scopes"}
        and key not in {"responses", "content", "headers", "flows"}
    }
    assert len(objects) > 500
    for at, value in random.Random(7).sample(sorted(objects.items()), 200):  # noqa: S311
        value["x-unknown"] = {}
        faults = list(faults_of(new))
        del value["x-unknown"]
        assert any(fault.startswith(f"{at}/x-unknown: ") for fault in faults), at


def schema_document(schema: Any) -> Json:
    return {"openapi": "3.1.0", "paths": {}, "components": {"schemas": {"A": schema}}}


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"allOf": []}, "/allOf: not covered by the comparison"),
        ({"type": "string", "minimum": 1}, "/minimum: not covered by the comparison"),
        ({"type": ["string", "null"]}, "/type: ['string', 'null'] is not covered"),
        ({"minLength": 1}, "/minLength: not covered by the comparison"),
        ({"oneOf": [{"type": "string"}]}, "/oneOf: not covered without a discriminator"),
        ({"$ref": "#/components/schemas/B"}, "/$ref: #/components/schemas/B does not exist"),
        ({"$ref": "other.json"}, "/$ref: not a reference to a component schema"),
        ({"$ref": "#/components/schemas/A", "minLength": 1}, "/minLength: not covered"),
        ({"type": "string", "minLength": -1}, "/minLength: not a count"),
        ({"type": "string", "minLength": True}, "/minLength: not a count"),
        ({"type": "integer", "minimum": True}, "/minimum: bool instead of int or float"),
        ({"type": "integer", "multipleOf": 0}, "/multipleOf: not a positive number"),
        ({"type": "string", "pattern": 1}, "/pattern: int instead of str"),
        ({"type": "object", "required": "a"}, "/required: not a list"),
        ({"type": "object", "properties": []}, "/properties: not an object"),
        ({"type": "object", "properties": {"a/b": 1}}, "/properties/a~1b: not an object"),
        ({"enum": [[]]}, "/enum/0: lists and objects are not covered as values"),
        ({"type": "string", "x-sunset": "soon"}, "/x-sunset: not a date or time in ISO 8601"),
        ({"type": "string", "x-sunset": 1}, "/x-sunset: not a date or time in ISO 8601"),
        ({"anyOf": [], "discriminator": {}}, "/discriminator: propertyName is missing"),
    ],
)
def test_a_schema_that_is_not_covered_is_refused(schema: Json, fault: str) -> None:
    (found, *_) = faults_of(schema_document(schema))
    assert found.startswith(f"/components/schemas/A{fault}")


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], ": not an object"),
        ({}, ": openapi is missing"),
        ({"openapi": "3.0.3", "paths": {}}, "/openapi: '3.0.3' is not covered, only 3.1.0"),
        ({"openapi": "3.1.0", "paths": {}, "externalDocs": {}}, "/externalDocs: not covered by the comparison"),
        ({"openapi": "3.1.0", "paths": {"/a": {"head": {}}}}, "/paths/~1a/head: not covered by the comparison"),
        ({"openapi": "3.1.0", "paths": {}, "components": []}, "/components: not an object"),
        ({"openapi": "3.1.0", "paths": {}, "components": {"schemas": 1}}, "/components/schemas: not an object"),
        (
            {"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {}, "security": [{"key": []}]}}}},
            "/paths/~1a/get/security: the scheme key does not exist",
        ),
    ],
)
def test_a_document_that_is_not_covered_is_refused(document: Any, fault: str) -> None:
    (found, *_) = faults_of(document)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"code": {"enum": ["gone"]}}, "/code/enum: only the names of the examples are covered"),
        ({"code": {"enum": ["not_found", "gone"]}}, "/code/enum: only the names of the examples are covered"),
        ({"code": {"type": "string"}}, "/code: enum is missing"),
        ({"code": {"enum": ["not_found"], "minLength": 1}}, "/code/minLength: not covered by the comparison"),
    ],
)
def test_the_codes_of_an_error_are_the_names_of_its_examples(properties: Json, fault: str) -> None:
    """Otherwise a code could be added unseen. Breaks when the properties beside a reference are not read."""
    schema = {"$ref": "#/components/schemas/A", "properties": {"code": {"enum": ["not_found"]}}}
    content = {"application/problem+json": {"schema": schema, "examples": {"not_found": {}}}}
    document = schema_document({"type": "object"})
    document["paths"]["/a"] = {"get": {"responses": {"404": {"description": "", "content": content}}}}
    assert list(faults_of(document)) == []
    schema["properties"] = properties
    (found, *_) = faults_of(document)
    assert found == f"/paths/~1a/get/responses/404/content/application~1problem+json/schema/properties{fault}"


def test_documents_of_the_kit_are_covered() -> None:
    feature = Feature(controllers=[Everything])
    models = Restwell(Settings(), name="models").app([Version("/v1", [feature])])
    for app in (core_app.create_app(Settings()), tiny.create_app(tiny.settings()), models):
        assert list(faults_of(msgspec.json.decode(msgspec.json.encode(app.openapi)))) == []


def test_a_date_is_its_first_second() -> None:
    assert parse_instant("2026-06-01") == NOW
    assert parse_instant("2026-06-01T02:00:00+02:00") == NOW
