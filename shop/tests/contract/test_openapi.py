"""The OpenAPI document is valid, complete and consistent with the code, and changes only on purpose."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from restwell.errors import (
    PROBLEM_MEDIA_TYPE,
    AppError,
    Conflict,
    ServiceUnavailable,
)
from restwell.settings import Settings
from restwell.web._decoding import decode_body, decode_query
from restwell.web._forms import FORM
from restwell.web._openapi import operations
from restwell.web._request import JSON, MERGE_PATCH
from restwell.web._uploads import MULTIPART
from shop.app import create_app
from shop.settings import ShopSettings

SHOP = create_app(ShopSettings())
DOCUMENTS: dict[str, dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(SHOP.documents))
SNAPSHOTS = {prefix: Path(__file__).with_name(f"openapi-{prefix.strip('/')}.json") for prefix in DOCUMENTS}
VERSIONS = list(DOCUMENTS)
ROUTES = {(operation.path, operation.method.lower()): operation for operation in operations(SHOP.routes)}
EVERY = [pytest.param(*key, id=f"{key[1]} {key[0]}") for key in ROUTES]
FORMATS = Draft202012Validator.FORMAT_CHECKER
NO_JSON = {MULTIPART, "application/pdf", "image/webp", "text/csv"}
"""They have no examples, which would be a file as JSON."""
BASES = {Conflict, ServiceUnavailable}  # only their subclasses are raised


def document_of(path: str) -> dict[str, Any]:
    """The document with the path; the operational routes are in each."""
    return next(each for each in DOCUMENTS.values() if path in each["paths"])


def described(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = document_of(path)["paths"][path][method]
    return found


def errors_below(error: type[AppError]) -> set[type[AppError]]:
    below = set(error.__subclasses__())
    return below.union(*(errors_below(one) for one in below))


OPERATIONS: Final = (
    *("restwell.graphql", "restwell.grpc", "restwell.web._guarded_streams"),
    *("restwell.ops", "restwell.jobs._operations"),
)
"""GraphQL, gRPC and their streams, the operations page and its services: no document has their routes."""


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_document_is_valid_openapi(version: str) -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENTS[version]).iter_errors()) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_document_equals_its_snapshot(version: str) -> None:
    """To accept a change of /v1: restwell openapi --version /v1 > shop/tests/contract/openapi-v1.json."""
    stored = msgspec.json.decode(SNAPSHOTS[version].read_bytes())
    assert stored == DOCUMENTS[version], f"{version} has changed; see this test's docstring, and add it to CHANGELOG.md"


def test_the_document_does_not_depend_on_secrets() -> None:
    settings = ShopSettings.load({"JWT_SECRET": "another secret that is long enough for this"})
    assert isinstance(settings, Settings)
    assert create_app(settings).documents == SHOP.documents


def test_the_document_lists_every_error_of_the_kit_and_the_shop() -> None:
    responses = [
        one
        for document in DOCUMENTS.values()
        for path in document["paths"].values()
        for method in path.values()
        for one in method["responses"].values()
    ]
    documented = set(
        chain.from_iterable(
            content.get("examples", {}) for one in responses for content in one.get("content", {}).values()
        )
    )
    raised = {
        error.code
        for error in errors_below(AppError) - BASES
        if error.__module__.startswith(("restwell", "shop")) and not error.__module__.startswith(OPERATIONS)
    }
    # A 405 belongs to a path, not to an operation. Stock is reserved over gRPC only.
    assert documented == raised - {"method_not_allowed", "reservation_expired"} | {"internal_error"}


def test_no_two_errors_share_a_code() -> None:
    """A subclass without a code of its own is the same error to clients."""
    app_errors = [error for error in errors_below(AppError) if error.__module__.startswith(("restwell", "shop"))]
    codes = [error.code for error in app_errors if "code" in vars(error)]
    assert sorted(codes) == sorted(set(codes))


def schemas_in(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from schemas_in(inner)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_example_of_a_schema_is_valid_against_it(version: str) -> None:
    document = DOCUMENTS[version]
    examples = [
        (schema, example)
        for part in ("components", "paths")
        for schema in schemas_in(document[part])
        if isinstance(schema.get("examples"), list)
        for example in schema["examples"]
    ]
    assert len(examples) > 20
    for schema, example in examples:
        whole = {**schema, "components": document["components"]}
        assert list(Draft202012Validator(whole, format_checker=FORMATS).iter_errors(example)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_schema_and_security_scheme_of_the_document_is_used(version: str) -> None:
    """Seen to fail: the document had two unreferenced schemas, which become unused classes in an SDK."""
    text, components = SNAPSHOTS[version].read_text(), DOCUMENTS[version]["components"]
    assert [name for name in components["schemas"] if f'"#/components/schemas/{name}"' not in text] == []
    assert set(components["securitySchemes"]) == {"access_token", "session_cookie", "client_credentials", "api_key"}


def test_the_document_names_its_server() -> None:
    assert SHOP.openapi["servers"] == [{"url": "/"}]
    settings = ShopSettings.load({"APP_URL": "https://shop.example"})
    assert isinstance(settings, ShopSettings)
    assert create_app(settings).openapi["servers"] == [{"url": "https://shop.example"}]


@pytest.mark.parametrize(("path", "method"), EVERY)
def test_every_operation_is_documented_completely(path: str, method: str) -> None:
    one, endpoint = described(path, method), ROUTES[path, method]
    assert one["summary"]
    assert one["summary"] not in one.get("description", "")
    assert one["tags"]
    statuses = set(one["responses"])
    assert {str(endpoint.status_code), "500", "503"} <= statuses
    assert bool(one["security"]) == bool(endpoint.guards)  # an empty list: public
    if endpoint.guards:
        assert "401" in statuses
    if "requestBody" in one:
        assert {"400", "413", "415", "422"} <= statuses
    if "{" in path:
        assert "404" in statuses
    for status, response in one["responses"].items():
        assert response["description"]
        if status >= "400":
            media_type = JSON if path.endswith("/oauth/token") else PROBLEM_MEDIA_TYPE
            assert list(response["content"]) == [media_type]
            examples = response["content"][media_type]["examples"]
            assert examples
            if media_type == PROBLEM_MEDIA_TYPE:
                codes = response["content"][media_type]["schema"]["properties"]["code"]["enum"]
                assert codes == [example["value"]["code"] for example in examples.values()]
    for parameter in one["parameters"]:
        assert parameter["schema"]
        assert parameter["in"] == "path" or parameter["name"] in {"category", "sort"} or parameter["description"]


@pytest.mark.parametrize(("path", "method"), EVERY)
def test_every_example_of_an_operation_is_valid_against_its_schema(path: str, method: str) -> None:
    one = described(path, method)
    contents = [response.get("content", {}) for response in one["responses"].values()]
    contents.append(one.get("requestBody", {}).get("content", {}))
    checked = 0
    for content in chain.from_iterable(content.values() for content in contents):
        examples = [item["value"] for item in content.get("examples", {}).values()]
        for example in [*examples, *([content["example"]] if "example" in content else [])]:
            schema = {**content["schema"], "components": document_of(path)["components"]}
            assert list(Draft202012Validator(schema, format_checker=FORMATS).iter_errors(example)) == []
            checked += 1
    assert checked
    media_types = {key for content in contents for key in content if not {"example", "examples"} & content[key].keys()}
    assert media_types <= NO_JSON


@pytest.mark.parametrize(
    ("path", "method"), [case for case in EVERY if "requestBody" in described(*map(str, case.values))]
)
def test_every_example_of_a_request_body_is_accepted(path: str, method: str) -> None:
    content = described(path, method)["requestBody"]["content"]
    (media_type,) = content
    if media_type == MULTIPART:
        assert content[media_type]["schema"]["required"] == ["file"]
        return
    if media_type == FORM:
        kind = ROUTES[path, method].parameters.form
        assert kind is not None
        assert decode_query(urlencode(content[media_type]["example"]).encode(), kind)
        return
    assert media_type == (MERGE_PATCH if method == "patch" else JSON)
    kind = ROUTES[path, method].parameters.data
    assert decode_body(msgspec.json.encode(content[media_type]["example"]), kind)
