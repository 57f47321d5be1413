"""The edge around a plain ASGI application, without a framework."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from api_client import assert_problem
from edge_client import HOOKS, hello, request, scope_of, send_request
from restwell.edge._access_log import AccessLog
from restwell.edge._context import (
    Answer,
    AsgiApp,
    Headers,
    Hook,
    Message,
    Receive,
    RequestContext,
    Response,
    Scope,
    Send,
)
from restwell.edge._deadline import Deadlines
from restwell.edge._pipeline import Edge
from restwell.edge._request_id import RequestId
from restwell.errors import ErrorFormat, NotFound

POLICY = "default-src 'none'; frame-ancestors 'none'"


async def break_early(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("the secret is hunter2")


async def break_late(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    raise ValueError


async def refuse(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound


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


class Named(Hook):
    """Records the calls of its methods, and answers the paths in ``answers``."""

    def __init__(self, name: str, calls: list[str], *, waits: bool = False, **answers: Response | Exception) -> None:
        self.name, self.calls, self.waits, self.answers = name, calls, waits, answers

    def admit(self, context: RequestContext) -> Answer:
        self.calls.append(f"{self.name} admit")
        if self.waits:
            return self._answer(context)
        answer = self.answers.get(context.scope["path"][1:])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _answer(self, context: RequestContext) -> Response | None:
        await asyncio.sleep(0)
        self.waits = False
        answer = self.admit(context)
        assert answer is None or isinstance(answer, tuple)
        return answer

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        self.calls.append(f"{self.name} on {context.status}")
        headers.append((b"x-seen-by", self.name.encode()))

    def after(self, context: RequestContext) -> None:
        self.calls.append(f"{self.name} after {context.status}")


def answer() -> Response:
    return 202, [(b"content-length", b"2")], b"ok"


async def test_head_is_answered_as_get_without_the_body() -> None:
    """Breaks when a body is sent, of the application or of a hook, or the access log shows GET."""
    for path, headers in (("/", [b"text/plain", b"5"]), ("/path", [b"2"])):
        edge = Edge(hello, [AccessLog(), Named("a", [], path=answer())])
        with capture_logs() as lines:
            start, *bodies = await send_request(edge, scope_of("HEAD", path))
        assert [value for name, value in start["headers"] if name.startswith(b"content-")] == headers
        assert [message["body"] for message in bodies] == [b""]
        assert lines[-1]["method"] == "HEAD"


async def test_an_unhandled_exception_is_logged_in_full_and_answered_without_details() -> None:
    with capture_logs() as lines:
        response = await request(break_early)
    assert_problem(response, 500, "internal_error")
    assert "hunter2" not in response.text
    assert response.headers["content-security-policy"] == POLICY
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("unhandled_exception", "error"),
        ("request", "error"),
    ]
    assert lines[1]["status"] == 500


@pytest.mark.parametrize(("app", "error"), [(break_late, ValueError), (refuse_late, NotFound)])
async def test_an_exception_after_the_response_began_ends_the_connection(app: AsgiApp, error: type[Exception]) -> None:
    """Breaks when a second response is sent."""
    with capture_logs() as lines, pytest.raises(error):
        await request(app)
    assert [line["event"] for line in lines] == ["unhandled_exception", "request"]


async def test_hooks_admit_a_request_in_order_and_end_it_in_reverse() -> None:
    """Breaks when ``after`` runs in the order of the list."""
    calls: list[str] = []
    response = await request(hooks=[Named("a", calls), Named("b", calls)])
    assert calls == ["a admit", "b admit", "a on 200", "b on 200", "b after 200", "a after 200"]
    assert response.headers["x-seen-by"] == "a, b"


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(("error", "status"), [(None, 202), (NotFound(), 404), (ValueError(), 500)])
async def test_a_hook_that_answers_is_the_last_to_see_the_request(
    error: Exception | None, status: int, *, waits: bool
) -> None:
    """Breaks when ``on_response`` or ``after`` run for all hooks: one would end what it has not begun."""
    calls: list[str] = []
    hooks = [Named("a", calls), Named("b", calls, waits=waits, path=error or answer()), Named("c", calls)]
    response = await request(break_early, path="/path", hooks=hooks)
    assert (response.status_code, response.headers["x-seen-by"]) == (status, "a, b")
    expected = ["a admit", "b admit", "b admit", f"a on {status}", f"b on {status}", f"b after {status}"]
    if not waits:
        expected.remove("b admit")
    assert calls == [*expected, f"a after {status}"]


async def test_cacheable_headers_are_not_added_to_a_prepared_response() -> None:
    """Breaks when every ``on_response`` is called: a cached response has these headers already, and gets them twice."""

    class Prepared(Named):
        cacheable_headers = True

        def admit(self, context: RequestContext) -> Answer:
            context.is_prepared = True
            return super().admit(context)

    calls: list[str] = []
    hooks = [Prepared("a", calls, path=answer()), Named("b", calls, error=NotFound())]
    assert "x-seen-by" not in (await request(path="/path", hooks=hooks)).headers
    assert (await request(path="/error", hooks=hooks)).headers["x-seen-by"] == "a, b", "an error is not prepared"


async def test_errors_are_answered_in_the_format_of_the_application() -> None:
    """Breaks when a part of the edge answers with a problem regardless."""
    errors = ErrorFormat("application/json", lambda error, request_id: {"errors": {error.code: request_id}}, dict)
    sent = {"x-request-id": "request-1"}
    for app, hooks, code in (
        (hello, [*HOOKS, Named("a", [], path=NotFound())], "not_found"),
        (break_early, HOOKS, "internal_error"),
        (refuse, HOOKS, "not_found"),
        (sleep_before, [*HOOKS, Deadlines(0.1)], "deadline_exceeded"),
    ):
        response = await request(app, path="/path", hooks=hooks, headers=sent, errors=errors)
        assert response.json() == {"errors": {code: "request-1"}}
        assert response.headers["content-type"] == "application/json"


async def test_a_hook_method_that_is_not_overridden_is_never_called() -> None:
    edge = Edge(hello, [Hook()])
    assert (edge._admit, edge._on_response, edge._after) == ([], [[], []], [[], []])


async def test_a_hook_is_found_by_its_class() -> None:
    edge = Edge(hello, HOOKS)
    assert edge.hook(RequestId) is HOOKS[1]
    with pytest.raises(LookupError, match="the edge has no Named"):
        edge.hook(Named)


async def test_the_edge_passes_other_protocols_through_unchanged() -> None:
    seen: list[Any] = []

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None: ...

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    await Edge(inner, HOOKS)({"type": "lifespan"}, receive, send)
    assert seen == [{"type": "lifespan"}]


async def test_a_request_beyond_its_deadline_gets_a_503() -> None:
    """Breaks when the edge has no deadline: the response is then a late 200."""
    with capture_logs() as lines:
        response = await request(sleep_before, hooks=[*HOOKS, Deadlines(0.1)])
    assert_problem(response, 503, "deadline_exceeded")
    assert response.headers["retry-after"] == "1"
    assert [line["event"] for line in lines] == ["deadline_exceeded", "request"]


async def test_a_cancellation_by_the_server_is_not_reported_as_a_deadline() -> None:
    task = asyncio.create_task(request(sleep_before, hooks=[*HOOKS, Deadlines(5)]))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.slow
async def test_each_request_has_its_own_deadline() -> None:
    edge = Edge(sleep_before, [*HOOKS, Deadlines(0.25)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://app.test") as client:
        began = time.monotonic()
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(client.get("/")))
            await asyncio.sleep(0.1)
        assert {response.status_code for response in await asyncio.gather(*tasks)} == {503}
        assert time.monotonic() - began < 0.8


@pytest.mark.slow
async def test_a_response_that_has_begun_may_exceed_the_deadline() -> None:
    assert (await request(sleep_within, hooks=[*HOOKS, Deadlines(0.1)])).content == b"G"


async def test_a_timeout_error_of_the_application_is_not_reported_as_a_deadline() -> None:
    assert_problem(await request(time_out_itself), 500, "internal_error")
