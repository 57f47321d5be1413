"""Traces: W3C Trace Context, spans of tasks, and a limit of spans."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from structlog.testing import capture_logs

from restwell.observability._trace import (
    FAST_SECONDS,
    MAX_SPANS,
    Trace,
    add_ids,
    current,
    current_request_id,
    is_chosen,
    new_ids,
    note_cache,
    note_error,
    parse_traceparent,
    remaining_seconds,
    span,
    traceparent,
)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


@pytest.fixture
def trace() -> Iterator[Trace]:
    """The trace of this test's task."""
    found = Trace(TRACE_ID, SPAN_ID, request_id="request-1", tracestate="vendor=1")
    current.set((found, SPAN_ID, None))
    yield found
    current.set(None)


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"00-{TRACE_ID}-{SPAN_ID}-00", False),
        (f"00-{TRACE_ID}-{SPAN_ID}-03", True),  # an unknown flag
        (f"cc-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_valid_traceparent_is_parsed(text: str, *, sampled: bool) -> None:
    """The examples of W3C's own test suite."""
    assert parse_traceparent(text.encode()) == (TRACE_ID, SPAN_ID, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.more",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}-0x",
        f"00-{TRACE_ID[:31]}-{SPAN_ID}0-01",
        f"0-0{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}{SPAN_ID}-01-",
        f"00{TRACE_ID}--{SPAN_ID}-01",
        f"00.{TRACE_ID}-{SPAN_ID}-01",
        f" 00-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01,00-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:30]}é-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-0\n",
    ],
)
def test_an_invalid_traceparent_is_none(text: str) -> None:
    """Breaks when only the length is checked."""
    assert parse_traceparent(text.encode()) is None


async def test_spans_of_concurrent_tasks_are_below_the_span_that_started_them(trace: Trace) -> None:
    """Breaks when the parent is an attribute of the trace: spans of one task would be below the other."""

    async def work(name: str) -> None:
        with span(name, "cache"):
            await asyncio.sleep(0)
            with span(f"{name} inside", "internal"):
                await asyncio.sleep(0)

    with span("both", "internal"):
        await asyncio.gather(work("first"), work("second"))
    parents = {each[0]: each[5] for each in trace.spans}
    ids = {each[0]: each[6] for each in trace.spans}
    assert parents == {
        "both": SPAN_ID,
        "first": ids["both"],
        "second": ids["both"],
        "first inside": ids["first"],
        "second inside": ids["second"],
    }


def test_a_span_has_its_time_its_attributes_and_the_type_of_its_error(trace: Trace) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match="secret"), span("call", "http", {"server": "a.test"}) as call:
        call.attributes["status"] = 500
        raise ValueError("secret")
    ((name, kind, start, end, error, parent_id, _, attributes),) = trace.spans
    assert (name, kind, error, parent_id) == ("call", "http", "ValueError", SPAN_ID)
    assert began <= start <= end <= time.perf_counter()
    assert attributes == {"server": "a.test", "status": 500}
    assert current.get() == (trace, SPAN_ID, None)


def test_a_span_gives_its_own_id_to_the_service_that_it_calls(trace: Trace) -> None:
    with span("call", "http") as call:
        headers = call.headers
        assert traceparent() == headers["traceparent"] == f"00-{TRACE_ID}-{trace_span(call)}-00"
    assert headers["tracestate"] == "vendor=1"
    trace.sampled = True
    trace.tracestate = ""
    with span("call", "http") as call:
        assert call.headers == {"traceparent": f"00-{TRACE_ID}-{trace_span(call)}-01"}


def trace_span(call: span) -> str:
    return call._span_id


def test_spans_beyond_the_limit_are_counted_and_not_kept(trace: Trace) -> None:
    """Breaks without the limit: a request with a loop would grow the memory."""
    for _ in range(MAX_SPANS + 3):
        with span("loop", "internal"):
            pass
    assert (len(trace.spans), trace.dropped) == (MAX_SPANS, 3)


def test_outside_a_trace_nothing_is_recorded() -> None:
    with span("script", "internal") as script:
        assert script.headers == {}
    note_cache("hit")
    note_error(ValueError())
    assert (traceparent(), current_request_id()) == (None, None)
    assert add_ids(None, "info", {"event": "x"}) == {"event": "x"}


def test_enclosing_takes_the_spans_that_were_added_meanwhile_below_a_new_one(trace: Trace) -> None:
    with span("before", "internal"):
        pass
    first, began = len(trace.spans), time.perf_counter()
    with span("authenticate", "cache"), span("inside", "internal"):
        pass
    trace.enclose("guards", "guard", began, first)
    by_name = {each[0]: each for each in trace.spans}
    assert by_name["authenticate"][5] == by_name["guards"][6]
    assert by_name["inside"][5] == by_name["authenticate"][6]
    assert by_name["guards"][5] == by_name["before"][5] == SPAN_ID


def test_fast_guards_are_no_span_unless_they_fail(trace: Trace) -> None:
    """Breaks when each request has a span for a cached session."""
    trace.enclose("guards", "guard", time.perf_counter(), 0)
    assert trace.spans == []
    trace.enclose("guards", "guard", time.perf_counter() - FAST_SECONDS * 2, 0)
    trace.enclose("guards", "guard", time.perf_counter(), 1, "Forbidden")
    assert [each[4] for each in trace.spans] == [None, "Forbidden"]


def test_one_miss_makes_the_cache_result_of_a_request_a_miss(trace: Trace) -> None:
    found = []
    results: list[Literal["hit", "miss"]] = ["hit", "miss", "hit"]
    for result in results:
        note_cache(result)
        found.append(trace.cache)
    assert found == ["hit", "miss", "miss"]
    note_error(KeyError())
    assert trace.error == "KeyError"


def test_log_lines_have_the_ids_of_the_request_and_of_the_current_span(trace: Trace) -> None:
    with capture_logs(processors=[add_ids]) as lines:
        structlog.get_logger().info("in_request")
        with span("call", "http") as call:
            structlog.get_logger().info("in_span", request_id="of the caller")
    assert [(line["request_id"], line["trace_id"], line["span_id"]) for line in lines] == [
        ("request-1", trace.trace_id, SPAN_ID),
        ("of the caller", trace.trace_id, trace_span(call)),
    ]


def test_ids_are_unique_also_in_a_forked_process() -> None:
    """Breaks when a forked process inherits the generator: both then use the same ids."""
    new_ids()  # fills the batch
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ",".join(f"{a}{b}" for a, b in (new_ids() for _ in range(200))).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100_000).decode().split(",")
    ours = {f"{a}{b}" for a, b in (new_ids() for _ in range(200))}
    os.close(reading)
    os.close(writing)
    assert len(ours | set(theirs)) == 400
    assert {len(each) for each in ours} == {48}


def test_a_rate_chooses_all_none_or_some() -> None:
    assert all(is_chosen(1.0) for _ in range(100))
    assert not any(is_chosen(0.0) for _ in range(100))
    assert 50 < sum(is_chosen(0.1) for _ in range(1_000)) < 160


def test_what_a_request_calls_has_the_time_that_it_has_left(trace: Trace) -> None:
    assert remaining_seconds() is None
    trace.deadline = time.perf_counter() + 10
    assert 0 < (remaining_seconds() or 0) <= 10
    trace.deadline = time.perf_counter() - 1
    assert remaining_seconds() == 0
    current.set(None)
    assert remaining_seconds() is None
