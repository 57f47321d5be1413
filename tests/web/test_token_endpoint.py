"""The token endpoint: client authentication, and errors in the form of OAuth 2.0 (RFC 6749)."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.errors import AppError, ServiceUnavailable
from restwell.web import (
    OAUTH_ERRORS,
    Controller,
    InvalidClient,
    InvalidScope,
    Request,
    UnsupportedGrantType,
    get,
    post,
    read_client_credentials,
)


class Tokens(Controller):
    path = "/tokens"
    error_format = OAUTH_ERRORS

    @post(status_code=200, rate_limit=None)
    async def issue(self, request: Request) -> list[str]:
        """The credentials."""
        return list(read_client_credentials(request, "form-id", "form-secret"))

    @get("/down", rate_limit=None)
    async def fail(self) -> None:
        """Fail."""
        raise ServiceUnavailable(retry_after_seconds=7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("tokens"), Tokens) as started:
        yield started


def send(server: InProcess, authorization: bytes | None) -> tuple[int, Any]:
    headers = [] if authorization is None else [(b"authorization", authorization)]
    response = server.send("POST", "/v1/tokens", headers)
    return response.status, msgspec.json.decode(response.body)


@pytest.mark.parametrize(
    ("authorization", "credentials"),
    [
        (b"Basic " + b64encode(b"id:secret"), ["id", "secret"]),
        (b"bASIC " + b64encode(b"id:a:b"), ["id", "a:b"]),
        (b"Basic " + b64encode(b"a%3Ab+c:%2B%C3%A9"), ["a:b c", "+\u00e9"]),
        (b"Basic " + b64encode(b":"), ["", ""]),
        (None, ["form-id", "form-secret"]),
    ],
)
def test_the_client_credentials_are_those_of_basic_or_of_the_form(
    server: InProcess, authorization: bytes | None, credentials: list[str]
) -> None:
    """Breaks when they are not form-decoded (RFC 6749 2.3.1): an id with a colon could not be sent."""
    assert send(server, authorization) == (200, credentials)


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Basic",
        b"Basic not base64",
        b"Basic " + b64encode(b"no separator"),
        b"Basic " + b64encode(b"\xff:secret"),
        b"Basic " + b64encode(b"id:secret") + b"!",
        b"Basic  " + b64encode(b"id:secret"),
        b"Bearer " + b64encode(b"id:secret"),
    ],
)
def test_a_malformed_authorization_is_an_invalid_client(server: InProcess, authorization: bytes) -> None:
    """Breaks when the decoder ignores other characters, and when a malformed header falls back to the form."""
    response = server.send("POST", "/v1/tokens", [(b"authorization", authorization)])
    assert (response.status, msgspec.json.decode(response.body)["error"]) == (401, "invalid_client")
    assert response.headers[b"www-authenticate"] == b"Basic"


def test_an_error_keeps_its_status_and_headers(server: InProcess) -> None:
    response = server.send("GET", "/v1/tokens/down")
    assert (response.status, response.headers[b"retry-after"]) == (503, b"7")
    assert response.headers[b"content-type"] == b"application/json"
    assert msgspec.json.decode(response.body)["error"] == "temporarily_unavailable"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidClient(), "invalid_client"),
        (InvalidScope(), "invalid_scope"),
        (UnsupportedGrantType(), "unsupported_grant_type"),
        (ServiceUnavailable(), "temporarily_unavailable"),
        (AppError(), "temporarily_unavailable"),
    ],
)
def test_an_error_has_a_code_of_oauth(error: AppError, code: str) -> None:
    """Breaks when a code of the kit is sent: RFC 6749 5.2 lists the codes that a client knows."""
    assert OAUTH_ERRORS.body(error, "").error == code
