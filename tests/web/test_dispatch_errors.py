"""Every error response is a problem."""

import asyncio
import json

import httpx
import pytest
from structlog.testing import capture_logs

from api_client import Json, assert_problem, error_paths
from restwell.errors import ServiceUnavailable
from restwell.observability._log_output import output
from restwell.settings import RequestSettings, Settings
from restwell.testing import running
from restwell.web._dispatch import expected_error
from tiny.app import create_app

JSON = "application/json"


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/notes/", "/v1/notes/1/2/3", "/v1/notes/%00", "/V1/notes"])
async def test_an_unknown_route_gets_a_404(tiny: httpx.AsyncClient, path: str) -> None:
    assert_problem(await tiny.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
async def test_a_405_lists_the_allowed_methods(tiny: httpx.AsyncClient, method: str) -> None:
    answer = await tiny.request(method, "/v1/notes")
    assert_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_a_body_that_is_not_json_by_its_content_type_is_refused(
    tiny: httpx.AsyncClient, content_type: str
) -> None:
    answer = await tiny.post("/v1/notes", content=b'{"text":"x"}', headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept"] == JSON


async def test_multipart_is_refused_where_json_is_expected(tiny: httpx.AsyncClient) -> None:
    assert_problem(await tiny.post("/v1/notes", files={"text": b"x"}), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"text": NaN}',
        b'{"text": "x"} trailing',
        b"\xff\xfe",
        b'{"text": "\xc3\x28"}',
        b'{"text": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"text":' * 50_000,
        b'{"text": 5, ',
        b'{"text": 5, "tags": "\xff"}',
    ],
)
async def test_a_body_that_is_not_json_in_utf8_is_malformed(tiny: httpx.AsyncClient, body: bytes) -> None:
    """Breaks when errors of the second decoding are not caught: malformed JSON after an invalid field is then a 500."""
    answer = await tiny.post("/v1/notes", content=body, headers={"content-type": JSON})
    assert_problem(answer, 400, "malformed_request")
    assert (await tiny.get("/v1/notes")).json() == {"items": []}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"$.text": "required"}),
        ({"text": 5}, {"$.text": "Expected `str`, got `int`"}),
        ({"text": "x", "colour": "red"}, {"$.colour": "unknown field"}),
        ({"text": "", "tags": ["toolong", 1, "ok"]}, {"$.text": "", "$.tags[0]": "", "$.tags[1]": ""}),
        ({"text": "x", "tags": "many"}, {"$.tags": "Expected `array`, got `str`"}),
        ([], {"$": "Expected `object`, got `array`"}),
        (None, {"$": "Expected `object`, got `null`"}),
    ],
)
async def test_every_fault_of_a_body_is_named(tiny: httpx.AsyncClient, body: Json, errors: dict[str, str]) -> None:
    problem = assert_problem(
        await tiny.post("/v1/notes", content=json.dumps(body), headers={"content-type": JSON}), 422, "invalid"
    )
    assert error_paths(problem) == errors.keys()
    for error in problem["errors"]:
        assert errors[error["path"]] in error["message"]


async def test_the_number_of_reported_faults_is_bounded(tiny: httpx.AsyncClient) -> None:
    problem = assert_problem(
        await tiny.post("/v1/notes", json={"text": "x", "tags": ["toolong"] * 1_000}), 422, "invalid"
    )
    assert len(problem["errors"]) == 50


async def test_a_fault_at_the_end_of_a_long_list_is_named(tiny: httpx.AsyncClient) -> None:
    problem = assert_problem(
        await tiny.post("/v1/notes", json={"text": "x", "tags": ["ok"] * 150 + ["toolong"]}), 422, "invalid"
    )
    assert error_paths(problem) == {"$.tags[150]"}


async def test_a_body_over_the_limit_is_refused(tiny_settings: Settings) -> None:
    settings = tiny_settings.model_copy(update={"request": RequestSettings(max_bytes=1_024)})
    async with running(create_app(settings)) as client:
        answer = await client.post("/v1/notes", json={"text": "x" * 2_000})
    assert_problem(answer, 413, "body_too_large")


async def test_a_parameter_of_the_wrong_type_is_named(tiny: httpx.AsyncClient) -> None:
    assert error_paths(assert_problem(await tiny.get("/v1/notes?limit=x"), 422, "invalid")) == {"limit"}
    too_many = "&".join(f"p{n}=1" for n in range(200))
    assert_problem(await tiny.get(f"/v1/notes?{too_many}"), 400, "malformed_request")


async def test_an_unhandled_exception_is_logged_in_full_and_answered_without_details(tiny: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await tiny.get("/v1/notes/7/broken", headers={"x-request-id": "find-me-in-the-log"})
    problem = assert_problem(answer, 500, "internal_error")
    assert "errors" not in problem
    assert "ValueError" not in answer.text
    crash = next(line for line in lines if line["event"] == "unhandled_exception")
    assert isinstance(crash["exc_info"], ValueError)
    assert problem["request_id"] == "find-me-in-the-log"


async def test_the_access_log_names_route_and_caller(
    tiny: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await tiny.get("/v1/notes/secrets", headers={"authorization": "Bearer owner"})
    await asyncio.to_thread(output.flush)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["event"], line["route"], line["status"]) == ("request", "/v1/notes/secrets", 200)
    assert line["user_id"].startswith("0192f0c1")
    assert line["request_id"]
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(("token", "status", "code"), [("guest", 403, "forbidden"), ("thief", 401, "unauthorized")])
async def test_a_refusal_by_a_guard_is_a_problem(tiny: httpx.AsyncClient, token: str, status: int, code: str) -> None:
    assert_problem(await tiny.get("/v1/notes/secrets", headers={"authorization": f"Bearer {token}"}), status, code)


def test_an_unavailable_dependency_is_logged_with_its_cause() -> None:
    """Breaks when the cause is not logged: the response names none."""
    error = ServiceUnavailable()
    error.__cause__ = OSError("connection refused")
    with capture_logs() as logged:
        assert expected_error(error, "/v1/notes") is error
    assert [(line["event"], line["log_level"], line["cause"]) for line in logged] == [
        ("dependency_unavailable", "warning", "OSError('connection refused')")
    ]
