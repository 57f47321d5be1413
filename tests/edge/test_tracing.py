"""The trace of a request: its ids in the log, its spans, and where it ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from edge_client import hello, request, scope_of, send_request
from restwell.edge._access_log import AccessLog
from restwell.edge._context import AsgiApp, Hook, Receive, RequestContext, Response, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.edge._request_id import RequestId
from restwell.edge._tracing import CurrentTrace, Tracing
from restwell.observability._recent_requests import Ended, EndedRequest
from restwell.observability._trace import Trace, add_ids, current, span
from restwell.observability._trace_recorder import TraceRecorder

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def hooks(exported: list[Ended], **options: Any) -> list[Hook]:
    traces = TraceRecorder(export=exported.append, **{"sample_rate": 1.0, **options})
    return [AccessLog(), RequestId(), Tracing(traces, {"/live"}), CurrentTrace()]


async def exported_by(app: AsgiApp = hello, headers: Mapping[str, str] | None = None, **options: Any) -> EndedRequest:
    exported: list[Ended] = []
    await request(app, hooks=hooks(exported, **options), headers=headers)
    (ended,) = exported
    assert isinstance(ended, EndedRequest)
    return ended


async def test_every_line_of_a_request_has_the_ids_of_its_trace_and_later_ones_have_none() -> None:
    """Breaks when the trace stays that of the task: its next request would have the ids of this one."""

    async def log(scope: Scope, receive: Receive, send: Send) -> None:
        structlog.get_logger().info("in_request")
        await asyncio.create_task(log_in_task())
        await hello(scope, receive, send)

    async def log_in_task() -> None:
        structlog.get_logger().info("in_task")

    exported: list[Ended] = []
    with capture_logs(processors=[add_ids]) as lines:
        response = await request(log, hooks=hooks(exported))
        structlog.get_logger().info("after_request")
    trace = exported[0].trace
    ids = (response.headers["x-request-id"], trace.trace_id, trace.span_id)
    assert [(line["event"], *(line.get(name) for name in ("request_id", "trace_id", "span_id"))) for line in lines] == [
        ("in_request", *ids),
        ("in_task", *ids),
        ("request", *ids),
        ("after_request", None, None, None),
    ]


async def test_the_line_of_a_request_has_the_time_of_its_queries_and_its_cache_result() -> None:
    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        trace = _trace()
        trace.db_seconds, trace.cache = 0.0125, "miss"
        await hello(scope, receive, send)

    with capture_logs() as lines:
        await exported_by(work)
    assert (lines[0]["db_ms"], lines[0]["cache"]) == (12.5, "miss")


async def test_the_trace_of_the_caller_is_continued() -> None:
    ended = await exported_by(headers={"traceparent": SENT, "tracestate": "vendor=1"})
    trace = ended.trace
    assert (trace.trace_id, trace.parent_id, trace.tracestate) == (TRACE_ID, "00f067aa0ba902b7", "vendor=1")
    assert (ended.method, ended.route, ended.path, ended.status) == ("GET", "/{anything}", "/some/path", 200)
    assert 0 < ended.seconds < 5


@pytest.mark.parametrize("repeated", ["traceparent", "tracestate"])
async def test_a_repeated_traceparent_is_ignored_and_a_repeated_tracestate_joined(repeated: str) -> None:
    """Breaks when the last of several fields is taken."""
    exported: list[Ended] = []
    scope = scope_of("GET", "/")
    scope["headers"] += [
        (b"traceparent", SENT.encode()),
        (b"tracestate", b"a=1"),
        (repeated.encode(), SENT.encode() if repeated == "traceparent" else b"b=2"),
    ]
    await send_request(Edge(hello, hooks(exported)), scope)
    trace = exported[0].trace
    expected = (False, "") if repeated == "traceparent" else (True, "a=1,b=2")
    assert (trace.trace_id == TRACE_ID, trace.tracestate) == expected


async def test_an_invalid_traceparent_begins_a_new_trace() -> None:
    trace = (await exported_by(headers={"traceparent": "00-hello"})).trace
    assert (len(trace.trace_id), trace.parent_id) == (32, "")


async def test_spans_of_a_background_task_after_the_response_are_not_recorded() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        with span("inside", "internal"):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        with span("after", "internal"):
            pass

    async def start(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(later()))
        await asyncio.sleep(0.01)
        await hello(scope, receive, send)

    ended = await exported_by(start)
    await tasks[0]
    assert [each[0] for each in ended.trace.spans] == ["inside"]


async def test_a_failed_request_has_the_type_of_its_error() -> None:
    async def fail(*_: object) -> None:
        raise ValueError("secret")

    ended = await exported_by(fail, sample_rate=0.0)
    assert (ended.status, ended.trace.error) == (500, "ValueError")
    with capture_logs() as lines:
        await exported_by(fail)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("unhandled_exception", "error"),
        ("request", "error"),
    ]


@pytest.mark.parametrize("status", [200, 503])
async def test_the_trace_of_a_request_that_a_hook_answers_is_built_only_if_it_is_retained(status: int) -> None:
    """Fails if it is built for each of them, or if a log line without it has no ids."""
    seen: list[RequestContext] = []

    class Cached(Hook):
        def admit(self, context: RequestContext) -> Response:
            context.is_prepared = True
            seen.append(context)
            return status, [], b""

    exported: list[Ended] = []
    traces = TraceRecorder(export=exported.append)
    traces.recent.threshold_seconds = 60.0  # no request is among the slowest
    with capture_logs() as lines:
        await request(hooks=[AccessLog(), RequestId(), Tracing(traces), Cached(), CurrentTrace()])
    ids = lines[0]["trace_id"], lines[0]["span_id"], lines[0]["cache"]
    assert (len(ids[0]), len(ids[1]), ids[2]) == (32, 16, "hit")
    kept = [(each.trace.trace_id, each.trace.span_id, each.trace.cache) for each in exported]
    assert (kept, seen[0].trace is None) == (([], True) if status == 200 else ([ids], False))


async def test_the_error_of_a_hook_is_that_of_its_request() -> None:
    """Fails if a request that has no trace yet loses the reason of its failure."""

    class Fail(Hook):
        def admit(self, context: RequestContext) -> None:  # noqa: ARG002  # the signature of Hook
            raise ZeroDivisionError

    exported: list[Ended] = []
    log, request_id, tracing, current_trace = hooks(exported, sample_rate=0.0)
    await request(hooks=[log, request_id, tracing, Fail(), current_trace])
    assert exported[0].trace.error == "ZeroDivisionError"


async def test_health_checks_and_scrapes_are_left_out() -> None:
    exported: list[Ended] = []
    await request(path="/live", hooks=hooks(exported))
    assert exported == []


async def test_the_trace_has_the_user_of_the_request() -> None:
    class SignIn(Hook):
        def admit(self, context: RequestContext) -> None:
            context.user_id = 42

    exported: list[Ended] = []
    await request(hooks=[*hooks(exported), SignIn()])
    assert isinstance(exported[0], EndedRequest)
    assert exported[0].user_id == "42"


async def test_a_request_inside_another_task_with_a_trace_gives_it_back() -> None:
    """Breaks when the end of a request clears the trace of the task that sent it to an application in its process."""
    outer = Trace("a" * 32, "b" * 16)
    current.set((outer, outer.span_id, None))  # of the task of this test
    exported: list[Ended] = []
    await send_request(Edge(hello, hooks(exported)), scope_of("GET", "/"))
    assert current.get() == (outer, outer.span_id, None)
    assert exported[0].trace is not outer


def _trace() -> Trace:
    active = current.get()
    assert active is not None
    return active[0]
