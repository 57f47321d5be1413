"""Requests to identity providers: what is sent, and what each response is."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from loopback_issuer import Answer, LoopbackIssuer, broken, loopback_issuer, slow
from restwell.auth import _http
from restwell.auth._http import MAX_RESPONSE_BYTES, Refused, RequestError, Unreachable, open_client, request_json
from restwell.observability._trace import Trace, current


@pytest.fixture
async def server() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(keep_connections=False) as client:
        yield client


async def test_a_request_has_its_token_and_no_compression(server: LoopbackIssuer, http: httpx.AsyncClient) -> None:
    """Breaks when a compressed response is accepted: a kilobyte could become gigabytes."""
    server.answers["/a"] = 200, {"a": 1}
    assert await request_json(http, "GET", f"{server.url}/a", token="secret") == {"a": 1}
    (head,) = server.heads
    assert "authorization: Bearer secret\r\n" in head
    assert "accept-encoding: identity\r\n" in head
    await request_json(http, "GET", f"{server.url}/a")
    assert "authorization" not in server.heads[1].lower()
    assert "cookie" not in server.heads[1].lower(), "the response had one"


RESPONSES: list[tuple[Answer, type[RequestError], int | None]] = [
    ((500, {}), Unreachable, 500),
    ((429, {}), Unreachable, 429),
    ((404, b"<html>"), Unreachable, 404),
    ((200, b""), Unreachable, 200),
    ((200, b'{"a": "\xff"}'), Unreachable, 200),
    ((200, b"[" * 100_000), Unreachable, 200),
    ((404, {}), Refused, 404),
    ((302, {}), Refused, 302),
    ((200, {"error": "bad_verification_code"}), Refused, 200),
    ((200, b" " * MAX_RESPONSE_BYTES + b"{}"), Unreachable, None),
    (broken, Unreachable, None),
]


@pytest.mark.parametrize(("answer", "error", "status"), RESPONSES)
async def test_a_response_is_an_outage_or_a_refusal(
    server: LoopbackIssuer, http: httpx.AsyncClient, answer: Any, error: type[RequestError], status: int | None
) -> None:
    server.answers["/a"] = answer
    with pytest.raises(error) as raised:
        await request_json(http, "GET", f"{server.url}/a")
    assert raised.value.status == status
    assert server.requests == ["GET /a"], "no redirect is followed"


async def test_a_slow_response_ends_at_the_timeout(
    server: LoopbackIssuer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without a timeout of the whole request: each byte arrives within that of a read."""
    monkeypatch.setattr(_http, "TIMEOUT_SECONDS", 0.1)
    server.answers["/a"] = slow
    started = time.monotonic()
    with pytest.raises(Unreachable):
        await request_json(http, "GET", f"{server.url}/a")
    assert time.monotonic() - started < 2


async def test_a_server_that_does_not_listen_is_unreachable(http: httpx.AsyncClient) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as closed:
        port = closed.sockets[0].getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://[", "http://127.0.0.1:b"):
        with pytest.raises(Unreachable):
            await request_json(http, "GET", url)


async def test_a_request_continues_the_trace_and_its_span_has_no_path_and_no_query(
    server: LoopbackIssuer, http: httpx.AsyncClient
) -> None:
    """Breaks when the span has the URL: the code of a sign-in is in it."""
    trace = Trace("a" * 32, "b" * 16)
    current.set((trace, trace.span_id, None))
    server.answers["/a?code=secret"] = 404, {}
    with pytest.raises(Refused):
        await request_json(http, "GET", f"{server.url}/a?code=secret")
    port = int(server.url.rpartition(":")[2])
    await request_json_of_a_closed_port(http)
    answered, refused = trace.spans
    assert (answered[0], answered[1], answered[4]) == ("GET 127.0.0.1", "http", None)
    assert answered[7] == {"method": "GET", "host": "127.0.0.1", "port": port, "status": 404}
    assert f"traceparent: 00-{'a' * 32}-{answered[6]}-00\r\n" in server.heads[0]
    assert (refused[4], "status" in (refused[7] or {})) == ("ConnectError", False)
    assert "secret" not in str(trace.spans)


async def request_json_of_a_closed_port(http: httpx.AsyncClient) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as closed:
        port = closed.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable):
        await request_json(http, "GET", f"http://127.0.0.1:{port}")
