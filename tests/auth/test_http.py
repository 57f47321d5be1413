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
