"""An application with its own form of error responses: every error has it, also those of the edge."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from controller_server import settings_in
from fuzzing import InProcess, in_process
from restwell import Restwell
from restwell.errors import AppError, ErrorFormat
from restwell.rate_limits import Rate
from restwell.settings import RateLimitSettings
from restwell.web import OAUTH_ERRORS, Controller, Version, get, post, signed_in
from tiny.app import Draft, authenticate


class Errors(Struct, frozen=True):
    errors: dict[str, list[str]]


def to_errors(error: AppError, request_id: str) -> Errors:
    assert request_id
    fields = {each.path.removeprefix("$."): [each.message] for each in error.errors}
    return Errors(fields or {"body": [error.detail]})


FORMAT = ErrorFormat("application/json", to_errors, Errors)


class Things(Controller):
    path = "/things"

    @get("/{number}")
    async def read(self, number: int) -> int:
        """Read."""
        return 1 // number

    @post()
    async def add(self, data: Draft) -> str:
        """Add."""
        return data.text

    @get("/own", guards=[signed_in])
    async def read_own(self) -> str:
        """Read the own thing."""
        return "own"

    @get("/rare", rate_limit=Rate("rare", 1, seconds=3_600))
    async def read_rarely(self) -> str:
        """Read at most once."""
        return "once"


class Tokens(Controller):
    path = "/tokens"
    error_format = OAUTH_ERRORS

    @post()
    async def issue(self, data: Draft) -> str:
        """Issue."""
        return data.text

    @post("/rare", rate_limit=Rate("rare-tokens", 1, seconds=3_600))
    async def issue_rarely(self) -> str:
        """Issue at most once."""
        return "once"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("things")
    kit = Restwell(settings_in(folder).model_copy(update={"rate_limit": RateLimitSettings(scale=1)}), name="things")
    with in_process(kit.app([Version("/v1", [Things, Tokens])], authenticate=authenticate, errors=FORMAT)) as started:
        yield started


JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status", "field"),
    [
        ("GET", "/v1/nothing", [], b"", 404, "body"),
        ("GET", "/v1/things/x", [], b"", 404, "body"),
        ("DELETE", "/v1/things/1", [], b"", 405, "body"),
        ("GET", "/v1/things/own", [], b"", 401, "body"),
        ("GET", "/v1/things/own", [(b"authorization", b"Bearer nobody")], b"", 401, "body"),
        ("POST", "/v1/things", [JSON], b"{", 400, "body"),
        ("POST", "/v1/things", [], b"{}", 415, "body"),
        ("POST", "/v1/things", [JSON], b"{}", 422, "text"),
        ("POST", "/v1/things", [JSON], b" " * 2_000_000, 413, "body"),
        ("GET", f"/v1/things/{'x' * 9_000}", [], b"", 414, "body"),
        ("GET", "/v1//things", [], b"", 404, "body"),
        ("GET", "/v1/things/%00", [], b"", 404, "body"),
        ("GET", "/v1/things/1", [(b"x-large", b"x" * 40_000)], b"", 431, "body"),
        ("GET", "/v1/things/0", [], b"", 500, "body"),
        ("GET", "/health/ready", [], b"", 503, "body"),
    ],
)
def test_every_error_has_the_form_of_the_application(
    server: InProcess,
    method: str,
    target: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    status: int,
    field: str,
) -> None:
    """Breaks when the edge, the router or the guards write problems themselves."""
    response = server.send(method, target, headers, body)
    assert (response.status, response.headers[b"content-type"]) == (status, b"application/json"), response.body
    content = msgspec.json.decode(response.body)
    assert list(content) == ["errors"]
    assert list(content["errors"]) == [field]
    assert b"x-request-id" in response.headers


def test_a_rate_limited_request_gets_the_form_of_the_application(server: InProcess) -> None:
    responses = [server.send("GET", "/v1/things/rare") for _ in range(3)]
    response = responses[-1]
    assert (response.status, list(msgspec.json.decode(response.body))) == (429, ["errors"])
    assert b"retry-after" in response.headers


def test_a_controller_may_have_another_form(server: InProcess) -> None:
    """Seen to fail: a request that exceeds the rate limit got the form of the application."""
    response = server.send("POST", "/v1/tokens", [JSON], b"{}")
    assert (response.status, msgspec.json.decode(response.body)["error"]) == (422, "invalid_request")
    limited = [server.send("POST", "/v1/tokens/rare") for _ in range(3)][-1]
    assert (limited.status, msgspec.json.decode(limited.body)["error"]) == (429, "invalid_request")


def test_the_document_describes_the_form_of_the_application(server: InProcess) -> None:
    """Breaks when the document has the schema or the examples of problems."""
    document: Any = server.app.openapi
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert set(document["components"]["schemas"]) & {"Errors", "OAuthError", "Problem"} == {"Errors", "OAuthError"}
    responses = document["paths"]["/v1/things"]["post"]["responses"]
    for status in ("400", "413", "415", "422", "500", "503"):
        [(media_type, content)] = responses[status]["content"].items()
        assert (media_type, content["schema"]) == ("application/json", {"$ref": "#/components/schemas/Errors"})
        assert all(list(example["value"]) == ["errors"] for example in content["examples"].values())
    [content] = document["paths"]["/v1/tokens"]["post"]["responses"]["422"]["content"].values()
    assert content["schema"] == {"$ref": "#/components/schemas/OAuthError"}
