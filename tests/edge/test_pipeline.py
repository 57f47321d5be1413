"""The edge around a plain ASGI application, without a framework."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from api_client import assert_problem
from edge_client import HOOKS, hello, request
from restwell.edge._context import AsgiApp, Headers, Hook, Message, Receive, RequestContext, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.errors import NotFound

POLICY = "default-src 'none'; frame-ancestors 'none'"


async def break_early(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("the secret is hunter2")


async def break_late(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    raise ValueError


async def refuse_late(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    raise NotFound


async def sleep_before(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.5)
    await hello(scope, receive, send)


async def sleep_within(scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await asyncio.sleep(0.5)
    await send({"type": "http.response.body", "body": scope["method"][:1].encode()})


async def time_out_itself(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise TimeoutError


async def test_head_is_answered_as_get_without_the_body() -> None:
    with capture_logs() as lines:
        response = await request(method="HEAD")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "5")
    assert lines[-1]["method"] == "HEAD"


async def test_an_unhandled_exception_is_logged_in_full_and_answered_without_details() -> None:
    with capture_logs() as lines:
        response = await request(break_early)
    assert_problem(response, 500, "internal_error")
    assert "hunter2" not in response.text
    assert response.headers["content-security-policy"] == POLICY
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("unhandled_exception", "error"),
        ("request", "info"),
    ]
    assert lines[1]["status"] == 500


@pytest.mark.parametrize(("app", "error"), [(break_late, ValueError), (refuse_late, NotFound)])
async def test_an_exception_after_the_response_began_ends_the_connection(app: AsgiApp, error: type[Exception]) -> None:
    """Breaks when a second response is sent."""
    with capture_logs() as lines, pytest.raises(error):
        await request(app)
    assert [line["event"] for line in lines] == ["unhandled_exception", "request"]


async def test_before_hooks_run_in_order_and_after_hooks_in_reverse() -> None:
    calls: list[str] = []

    class Named(Hook):
        def __init__(self, name: str) -> None:
            self.name = name

        def before(self, context: RequestContext) -> None:
            calls.append(f"{self.name} before {context.status}")

        def on_response(self, context: RequestContext, headers: Headers) -> None:
            calls.append(f"{self.name} on {context.status}")
            headers.append((b"x-seen-by", self.name.encode()))

        def after(self, context: RequestContext) -> None:
            calls.append(f"{self.name} after {context.status}")

    response = await request(hooks=[Named("a"), Named("b")])
    assert calls == ["a before 0", "b before 0", "a on 200", "b on 200", "b after 200", "a after 200"]
    assert response.headers["x-seen-by"] == "a, b"


async def test_a_hook_method_that_is_not_overridden_is_never_called() -> None:
    edge = Edge(hello, [Hook()], 5)
    assert (edge._before, edge._on_response, edge._after) == ([], [], [])


async def test_the_edge_passes_other_protocols_through_unchanged() -> None:
    seen: list[Any] = []

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None: ...

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    await Edge(inner, HOOKS, 5)({"type": "lifespan"}, receive, send)
    assert seen == [{"type": "lifespan"}]


async def test_a_request_beyond_its_deadline_gets_a_503() -> None:
    """Breaks when the edge has no deadline: the response is then a late 200."""
    with capture_logs() as lines:
        response = await request(sleep_before, timeout_seconds=0.1)
    assert_problem(response, 503, "deadline_exceeded")
    assert response.headers["retry-after"] == "1"
    assert [line["event"] for line in lines] == ["deadline_exceeded", "request"]


async def test_a_cancellation_by_the_server_is_not_reported_as_a_deadline() -> None:
    task = asyncio.create_task(request(sleep_before))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_request_has_its_own_deadline() -> None:
    edge = Edge(sleep_before, HOOKS, 0.25)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://app.test") as client:
        began = time.monotonic()
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(client.get("/")))
            await asyncio.sleep(0.1)
        assert {response.status_code for response in await asyncio.gather(*tasks)} == {503}
        assert time.monotonic() - began < 0.8


async def test_a_response_that_has_begun_may_exceed_the_deadline() -> None:
    assert (await request(sleep_within, timeout_seconds=0.1)).content == b"G"


async def test_a_timeout_error_of_the_application_is_not_reported_as_a_deadline() -> None:
    assert_problem(await request(time_out_itself), 500, "internal_error")
