"""What every Python client does: repeat what is safe to repeat, wait as told, renew tokens, and decode."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest

from restwell._client import _python_runtime as runtime
from restwell._client._python_runtime import ApiClient, ApiError, ConnectionFailed, Tokens, UnexpectedResponse

OK = httpx.Response(200, json={"id": 1})
LOST = httpx.ReadError("reset")
REFUSED = httpx.ConnectError("refused")
Outcome = httpx.Response | Exception


class NotFound(ApiError):
    pass


class Client(ApiClient):
    _refresh_path = "/refresh"
    _token_path = "/token"
    _errors = {"not_found": NotFound}


class Server:
    """Returns or raises one outcome after the other, and keeps the requests."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(outcome.status_code, content=outcome.content, headers=outcome.headers)


def client_of(answer: Callable[[httpx.Request], Any], **options: Any) -> Client:
    return Client("http://api.test", transport=httpx.MockTransport(answer), **options)


async def call(*outcomes: Outcome, method: str = "GET", **options: Any) -> tuple[Any, list[httpx.Request]]:
    """The result or the error of one call, and its requests."""
    server = Server(outcomes)
    names = {"idempotency_key", "if_match", "returns"}
    more = {name: options.pop(name) for name in names & options.keys()}
    client = client_of(server, **options)
    try:
        result = await client._send(method, "/things", **{"returns": {200: runtime.json_of(dict[str, int])}, **more})
    except runtime.ClientError as error:
        result = error
    return result, server.requests


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


def refusal(status: int, code: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "No."}, headers=headers)


@pytest.mark.parametrize("lost", [LOST, httpx.ReadTimeout("late"), refusal(502), refusal(503), refusal(504)])
async def test_a_call_that_may_have_been_done_is_repeated_only_if_that_is_safe(lost: Outcome) -> None:
    """Breaks when a POST without a key is repeated, or a change with If-Match, which would fail at its own success."""
    for method, more, attempts in (
        ("GET", {}, 2),
        ("PUT", {}, 2),
        ("POST", {"idempotency_key": "k"}, 2),
        ("POST", {}, 1),
        ("PATCH", {}, 1),
        ("DELETE", {}, 1),
        ("PUT", {"if_match": '"1"'}, 1),
    ):
        result, requests = await call(lost, OK, method=method, **more)
        assert len(requests) == attempts
        assert isinstance(result, dict) is (attempts == 2)


async def test_all_attempts_of_a_call_have_the_same_key() -> None:
    """Breaks when the key is made for each attempt."""
    _, requests = await call(
        LOST, refusal(409, "idempotency_key_in_flight"), LOST, OK, method="POST", idempotency_key="k"
    )
    assert [request.headers["idempotency-key"] for request in requests] == ["k"] * 4
    assert len({runtime.new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize("early", [REFUSED, refusal(429)])
async def test_a_call_that_was_not_done_is_repeated_whatever_it_is(early: Outcome) -> None:
    result, requests = await call(early, OK, method="POST")
    assert (result, len(requests)) == ({"id": 1}, 2)


async def test_attempts_end_and_say_whether_the_call_may_have_been_done(waits: list[float]) -> None:
    """Breaks when only the last attempt decides: an earlier one may have been done."""
    for outcomes, done in (([REFUSED] * 4, False), ([LOST] * 4, True), ([LOST, *[REFUSED] * 3], True)):
        result, requests = await call(*outcomes)
        assert isinstance(result, ConnectionFailed)
        assert (result.may_have_been_done, len(requests)) == (done, 4)
        assert str(result).endswith("the request may have been done" if done else "the request was not sent")
    assert len(waits) == 9


async def test_retry_after_is_waited_for_and_not_longer_than_the_call_may_take(waits: list[float]) -> None:
    """Breaks when Retry-After is the longest wait instead of the shortest, or has no bound."""
    await call(refusal(429, **{"retry-after": "7"}), OK)
    assert waits[-1] == 7
    at = datetime.now(UTC) + timedelta(seconds=20)
    await call(refusal(503, **{"retry-after": format_datetime(at, usegmt=True)}), OK)
    assert 15 < waits[-1] <= 20
    await call(refusal(429, **{"retry-after": "soon"}), OK)
    assert 0 < waits[-1] < 1
    result, requests = await call(refusal(429, "limited", **{"retry-after": "3600"}), OK)
    assert isinstance(result, ApiError)
    assert (result.retry_after_seconds, len(requests), len(waits)) == (3600, 1, 3)


async def test_an_attempt_that_takes_too_long_is_ended() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = client_of(never, timeout_seconds=0.01, max_attempts=2)
    with pytest.raises(ConnectionFailed, match="TimeoutError; the request may have been done"):
        await client._send("GET", "/things", returns={})
    await client.aclose()


async def test_an_error_is_of_the_class_of_its_code() -> None:
    errors = [{"path": "$.name", "message": "Too long"}]
    body = {"code": "not_found", "detail": "No.", "request_id": "r", "errors": errors, "more": 1}
    result, _ = await call(httpx.Response(404, json=body))
    assert type(result) is NotFound
    assert (result.status, result.code, result.detail, result.request_id) == (404, "not_found", "No.", "r")
    assert result.errors == [runtime.FieldError("$.name", "Too long")]
    assert str(result) == "404 not_found: No."


@pytest.mark.parametrize(
    ("response", "code", "detail"),
    [
        (refusal(400, "brand_new"), "brand_new", "No."),
        (httpx.Response(400, json={"error": "invalid_scope", "error_description": "No."}), "invalid_scope", "No."),
        (httpx.Response(400, text="<html>"), "", "Bad Request"),
        (httpx.Response(400, json=[1]), "", "Bad Request"),
        (httpx.Response(400, json={"code": None, "errors": "none"}), "", "Bad Request"),
    ],
)
async def test_an_error_that_the_client_does_not_know_is_still_one(
    response: httpx.Response, code: str, detail: str
) -> None:
    result, _ = await call(response)
    assert type(result) is ApiError
    assert (result.code, result.detail, result.errors) == (code, detail, [])


async def test_a_response_that_the_client_does_not_know_says_so() -> None:
    for response, reason in ((httpx.Response(204), "204: a status that"), (httpx.Response(200, text="<"), "200: JSON")):
        result, _ = await call(response)
        assert isinstance(result, UnexpectedResponse)
        assert str(result).startswith(reason)
    result, _ = await call(OK, returns={200: runtime.tagged(runtime.json_of(dict[str, int]))})
    assert str(result) == "200: without the header 'etag'"


async def test_results_are_decoded_by_status() -> None:
    etag = httpx.Response(200, json={"id": 1}, headers={"etag": '"3"', "location": "/there"})
    for decode, expected in (
        (runtime.tagged(runtime.json_of(dict[str, int])), runtime.Tagged({"id": 1}, '"3"')),
        (runtime.json_of(list[int], dict[str, int]), {"id": 1}),
        (runtime.text, '{"id":1}'),
        (runtime.content, b'{"id":1}'),
        (runtime.location, "/there"),
        (runtime.nothing, None),
    ):
        assert (await call(etag, returns={200: decode}))[0] == expected


async def test_values_are_sent_as_the_api_reads_them() -> None:
    server = Server([OK, OK, OK])
    client = client_of(server)
    returns = {200: runtime.nothing}
    query = {"a": True, "b": None, "c": [1, 2], "d": datetime(2026, 1, 2, tzinfo=UTC)}
    tag = runtime.Tagged(1, '"9"')
    await client._send("GET", "/a", returns=returns, query=query, headers={"x-one": 1, "x-two": None}, if_match=tag)
    await client._send("POST", "/b", returns=returns, form={"a": "b c", "n": None})
    await client._send("POST", "/c", returns=returns, files={"file": ("a.png", b"bytes")})
    first, second, third = server.requests
    assert parse_qs(first.url.query.decode()) == {"a": ["true"], "c": ["1", "2"], "d": ["2026-01-02T00:00:00Z"]}
    assert (first.headers["x-one"], first.headers["if-match"], "x-two" in first.headers) == ("1", '"9"', False)
    assert (second.content, second.headers["content-type"]) == (b"a=b+c", "application/x-www-form-urlencoded")
    assert b'name="file"; filename="a.png"' in third.content


def test_a_part_of_a_path_leads_to_no_other_path() -> None:
    """Breaks when a slash is not encoded, or when an id of two dots is sent."""
    assert runtime.segment("a/b?c") == "a%2Fb%3Fc"
    for text in ("", ".", ".."):
        with pytest.raises(ValueError, match="cannot be a part of a path"):
            runtime.segment(text)


def test_the_next_page_is_found_in_its_path() -> None:
    assert runtime.next_value("/v2/things?limit=1&cursor=a%2Fb", "cursor") == "a/b"
    assert runtime.next_value("/v2/things", "cursor") is None
    assert runtime.next_value(None, "cursor") is None


def test_an_open_enum_accepts_new_values() -> None:
    class Color(runtime.OpenEnum):
        RED = "red"

    red, new = msgspec.json.decode(b'["red", "teal"]', type=list[Color])
    assert (red, new, msgspec.json.encode(new)) == (Color.RED, "teal", b'"teal"')
    with pytest.raises(ValueError, match="1 is not a valid"):
        Color(1)  # type: ignore[arg-type]


class Tokened:
    """An API that accepts one access token, and renews it."""

    def __init__(self) -> None:
        self.valid = "a2"
        self.renewals: list[bytes] = []
        self.renewing: Callable[[], Awaitable[object]] = _at_once
        self.fails = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path in {"/refresh", "/token"}:
            self.renewals.append(request.content)
            await self.renewing()
            if self.fails:
                return refusal(401, "invalid_refresh_token")
            return httpx.Response(200, json={"access_token": self.valid, "refresh_token": "r2", "expires_in": 900})
        return OK if request.headers.get("authorization") == f"Bearer {self.valid}" else refusal(401, "unauthorized")


async def get(client: Client) -> Any:
    return await client._send("GET", "/things", returns={200: runtime.nothing}, authenticated=True)


async def test_concurrent_calls_renew_the_token_once_and_are_repeated() -> None:
    """Breaks when each call renews: the second refresh token is used already, which is taken for theft."""
    api, kept = Tokened(), list[Tokens]()
    gate = asyncio.Event()
    api.renewing = gate.wait
    async with client_of(api, tokens=Tokens("a1", "r1"), on_tokens=kept.append) as client:
        calls = [asyncio.create_task(get(client)) for _ in range(10)]
        while not api.renewals:
            await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.01)
        calls[0].cancel()  # the renewal goes on for the others
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[1:] == [None] * 9
    assert api.renewals == [b'{"refresh_token":"r1"}']
    assert kept == [Tokens("a2", "r2")]
    assert await client._renew(Tokens("a1", "r1")), "renewed while the call was on its way"
    assert len(api.renewals) == 1


async def test_a_token_that_cannot_be_renewed_is_an_error_of_each_call() -> None:
    api = Tokened()
    api.fails = True
    client = client_of(api, tokens=Tokens("a1", "r1"))
    results = await asyncio.gather(get(client), get(client), return_exceptions=True)
    assert [str(each) for each in results] == ["401 invalid_refresh_token: No."] * 2
    assert len(api.renewals) == 1
    with pytest.raises(ApiError, match="unauthorized"):
        await get(client)
    with pytest.raises(ApiError, match="unauthorized"):
        await get(client_of(api, token="an API key"))
    with pytest.raises(ApiError, match="unauthorized"):
        await get(client_of(api))
    assert len(api.renewals) == 1


async def test_a_machine_client_gets_its_token_at_the_first_call() -> None:
    api = Tokened()
    client = client_of(api, client_id="me", client_secret="s&")
    assert [await get(client), await get(client)] == [None, None]
    assert api.renewals == [b"grant_type=client_credentials&client_id=me&client_secret=s%26"]


async def test_a_method_that_signs_in_sets_the_tokens() -> None:
    kept: list[Tokens] = []
    tokens = httpx.Response(201, json={"access_token": "a", "refresh_token": "r"})
    server = Server([tokens, OK])
    client = client_of(server, on_tokens=kept.append)
    await client._send("POST", "/in", returns={201: runtime.json_of(Tokens)}, signs_in=True)
    await client._send("GET", "/things", returns={200: runtime.nothing}, authenticated=True)
    assert server.requests[1].headers["authorization"] == "Bearer a"
    assert kept == [Tokens("a", "r")]


async def _at_once() -> None:
    pass
