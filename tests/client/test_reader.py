"""What a client must know of an API is read from its document, and what it cannot be made of is refused."""

from typing import Any

import msgspec
import pytest

import accounts_app
import webhook_app
from restwell import Restwell
from restwell._client._model import (
    Api,
    EnumSchema,
    ErrorCode,
    ListOf,
    Literals,
    MapOf,
    Nullable,
    ObjectSchema,
    Operation,
    Page,
    Plain,
    Ref,
    Success,
    TupleOf,
    UnionOf,
)
from restwell._client._reader import read_api
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from restwell.web import Version
from tiny.app import authenticate
from tiny.kinds import KindController

Json = dict[str, Any]


def api_of(document: object) -> Api:
    return read_api(msgspec.json.decode(msgspec.json.encode(document)))


ACCOUNTS = api_of(accounts_app.create_app(Settings()).openapi)
KINDS = api_of(
    Restwell(Settings(), name="kinds").app([Version("/v1", [KindController])], authenticate=authenticate).openapi
)


def operation(name: str, api: Api = ACCOUNTS) -> Operation:
    return next(each for each in api.operations if each.id == name)


def with_schema(schema: Json) -> Json:
    return {"openapi": "3.1.0", "paths": {}, "components": {"schemas": {"It": schema}}}


def with_operation(**more: Any) -> Json:
    declared = {"operationId": "list_them", "responses": {"204": {"description": ""}}, **more}
    return {"openapi": "3.1.0", "paths": {"/them": {"get": declared}}}


def test_the_tokens_and_where_they_come_from_are_found() -> None:
    assert ACCOUNTS.tokens == "BearerTokens"
    assert ACCOUNTS.refresh is not None
    assert ACCOUNTS.refresh.endswith("/sessions/refresh")
    assert ACCOUNTS.token_url is not None
    assert ACCOUNTS.token_url.endswith("/oauth/token")
    assert (ACCOUNTS.scheme, ACCOUNTS.code_property) == ("Bearer", "code")
    signing_in = [each.id for each in ACCOUNTS.operations if each.signs_in]
    assert "sign_in" in signing_in
    assert "refresh_session" not in signing_in
    assert (operation("sign_in").authenticated, operation("get_own_account").authenticated) == (False, True)


def test_errors_have_their_codes_by_status() -> None:
    assert operation("register_user").errors[409] == ("email_taken",)
    (taken,) = (each for each in ACCOUNTS.errors if each.code == "email_taken")
    assert (taken.statuses, bool(taken.message)) == ((409,), True)


def test_a_page_says_how_the_next_one_is_found() -> None:
    user = Ref("User")
    assert operation("list_users").page == Page(
        items="items", item=user, next="next_cursor", form="value", parameter="cursor"
    )


@pytest.mark.parametrize(
    ("parameter", "properties", "expected"),
    [
        (
            "cursor",
            {"next": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            Page(items="data", item=Plain("string"), next="next", form="path", parameter="cursor"),
        ),
        (
            "offset",
            {"has_more": {"type": "boolean"}, "total": {"type": "integer"}},
            Page(items="data", item=Plain("string"), next="has_more", form="more", parameter="offset"),
        ),
        ("cursor", {"next": {"type": "string"}}, None),
        ("cursor", {"data2": {"type": "array"}}, None),
        ("limit", {"next": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, None),
    ],
)
def test_other_envelopes_are_pages_too(parameter: str, properties: Json, expected: Page | None) -> None:
    """Breaks when a list without a next page is a page: a client would repeat its first page for ever."""
    listing: Json = {
        "type": "object",
        "properties": {"data": {"type": "array", "items": {"type": "string"}}, **properties},
    }
    listing["required"] = list(listing["properties"])
    document = with_operation(
        parameters=[{"name": parameter, "in": "query", "schema": {"type": "string"}}],
        responses={"200": {"description": "", "content": {"application/json": {"schema": {"$ref": REF + "It"}}}}},
    )
    assert read_api({**with_schema(listing), **document}).operations[0].page == expected
    listing["required"] = ["data"]
    assert read_api({**with_schema(listing), **document}).operations[0].page is None


REF = "#/components/schemas/"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, Plain("any")),
        ({"type": "string", "format": "uuid"}, Plain("string", "uuid")),
        ({"type": "string", "contentEncoding": "base64"}, Plain("string", "byte")),
        ({"type": "integer", "minimum": 1}, Plain("integer")),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, Nullable(Plain("number"))),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, UnionOf((Plain("number"), Plain("string")))),
        ({"enum": [1, 2]}, Literals((1, 2))),
        ({"enum": ["a", None]}, Nullable(Literals(("a",)))),
        ({"const": True}, Literals((True,))),
        ({"type": "array", "items": {"$ref": REF + "It"}}, ListOf(Ref("It"))),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, TupleOf((Plain("string"),))),
        ({"type": "object"}, MapOf(Plain("any"))),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, MapOf(Plain("boolean"))),
        ({"type": "object", "patternProperties": {"^a": {"type": "boolean"}}}, MapOf(Plain("boolean"))),
    ],
)
def test_a_schema_is_a_type(schema: Json, expected: object) -> None:
    (it,) = read_api(with_schema({"type": "object", "properties": {"value": schema}})).schemas
    assert isinstance(it, ObjectSchema)
    assert it.properties[0].type == expected


def test_a_value_that_tells_objects_apart_is_their_tag() -> None:
    tagged = {"type": "object", "properties": {"kind": {"enum": ["cat"]}}, "required": ["kind"]}
    (cat,) = read_api(with_schema(tagged)).schemas
    assert isinstance(cat, ObjectSchema)
    assert (cat.tag_property, cat.tag) == ("kind", "cat")
    (optional,) = read_api(with_schema({**tagged, "required": []})).schemas
    assert isinstance(optional, ObjectSchema)
    assert optional.tag_property is None


def test_named_texts_are_an_enum() -> None:
    (role,) = (each for each in ACCOUNTS.schemas if each.name == "Role")
    assert isinstance(role, EnumSchema)
    assert set(role.values) == {"administrator", "member"}


def test_each_kind_of_header_body_and_response_has_its_place() -> None:
    changed = [each for each in KINDS.operations if each.if_match]
    assert changed
    assert all(each.idempotent is False for each in changed)
    assert [each.id for each in KINDS.operations if each.tagged]
    bodies = {each.body.kind for each in KINDS.operations if each.body}
    assert bodies >= {"json", "form", "file"}
    both = (*KINDS.operations, *ACCOUNTS.operations)
    kinds = {success.kind for each in both for success in each.successes}
    assert kinds >= {"json", "none", "redirect", "bytes"}
    assert [each.id for each in KINDS.operations if each.idempotent]
    names = {each.name for one in both for each in one.parameters}
    assert names.isdisjoint({"Idempotency-Key", "If-Match", "If-None-Match"})


def test_an_api_without_names_and_errors_is_described_too() -> None:
    api = read_api(with_operation())
    assert (api.title, api.errors, api.tokens, api.refresh, api.token_url) == ("API", (), None, None, None)
    assert api.operations[0].successes == (Success(status=204, kind="none"),)
    assert api.operations[0].tag == ""


def test_an_error_code_may_have_another_member_and_no_message() -> None:
    schema = {"$ref": REF + "It", "properties": {"error": {"enum": ["gone"]}}}
    error = {"description": "", "content": {"application/json": {"schema": schema}}}
    api = read_api(with_operation(responses={"410": error}))
    assert (api.code_property, api.errors) == ("error", (ErrorCode(code="gone", message="", statuses=(410,)),))


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            {"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {}}}}},
            "GET /a: has no operationId, so its function in the client would have no name",
        ),
        (
            {"openapi": "3.1.0", "paths": {path: with_operation()["paths"]["/them"] for path in ("/a", "/b")}},
            "operationId list_them: more than one operation has it",
        ),
        (
            with_operation(parameters=[{"name": "session", "in": "cookie", "required": True, "schema": {}}]),
            "GET /them: needs the cookie session, which clients do not send",
        ),
        (with_operation(responses={"2XX": {"description": ""}}), "GET /them: the status 2XX is no number"),
        (
            with_operation(
                requestBody={"content": {"multipart/form-data": {"schema": {"properties": {"a": {}, "b": {}}}}}}
            ),
            "GET /them: a multipart body of 2 parts, not of one file",
        ),
    ],
)
def test_what_a_client_cannot_be_made_of_is_refused(document: Json, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_api(document)
    assert refused.value.faults == [sentence]


def test_the_payload_of_a_webhook_is_a_schema_of_the_client() -> None:
    """Fails if the schemas of a client are those of its operations only: a receiver has nothing to decode with."""
    api = read_api(msgspec.json.decode(msgspec.json.encode(webhook_app.create_app(Settings()).openapi)))
    assert {"OrderChange", "ReportMade", "Line"} <= {each.name for each in api.schemas}
    assert [each.id for each in api.operations if not each.path.startswith("/health")] == ["list_orders"]
