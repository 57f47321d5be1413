"""Which traces are exported, and which inbound context is believed."""

import time
from typing import Any

import pytest

from restwell.observability._recent_requests import Ended, EndedJob, EndedRequest
from restwell.observability._trace import MAX_SPANS, Trace
from restwell.observability._trace_recorder import TraceRecorder

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01".encode()


def recorder(**options: Any) -> tuple[TraceRecorder, list[Ended]]:
    exported: list[Ended] = []
    return TraceRecorder(export=exported.append, **options), exported


def end(traces: TraceRecorder, trace: Trace, *, seconds: float = 0.001, status: int = 200) -> None:
    now = time.perf_counter()
    if traces.end(trace, seconds, status):
        traces.keep_request(EndedRequest(trace, now - seconds, now, time.time(), "GET", "/", "/", "http", status, None))


def test_a_trace_of_the_caller_is_continued_and_its_sampling_is_not_believed() -> None:
    """Breaks when the flag of the caller decides: any client could fill the collector."""
    traces, exported = recorder(sample_rate=0.0)
    trace = traces.start_below(SENT, b"vendor=1", "request-1")
    assert (trace.trace_id, trace.parent_id, trace.tracestate) == (TRACE_ID, "00f067aa0ba902b7", "vendor=1")
    assert not trace.sampled
    end(traces, trace)
    assert exported == []
    trusting, _ = recorder(sample_rate=0.0, trusts_caller=True)
    assert trusting.start_below(SENT, None, "request-1").sampled
    assert not recorder(sample_rate=1.0, trusts_caller=True)[0].start_below(SENT[:-1] + b"0", None, "r").sampled


def test_an_invalid_traceparent_and_a_long_tracestate_are_ignored() -> None:
    traces, _ = recorder()
    trace = traces.start_below(b"00-nonsense", b"vendor=1", "request-1")
    assert (trace.parent_id, trace.tracestate, len(trace.trace_id)) == ("", "", 32)
    assert traces.start_below(SENT, b"v" * 513, "request-1").tracestate == ""


@pytest.mark.parametrize(("seconds", "status"), [(0.6, 200), (0.001, 500), (0.001, 503), (0.001, 0)])
def test_a_slow_or_failed_request_is_exported_although_it_is_not_sampled(seconds: float, status: int) -> None:
    traces, exported = recorder(slow_seconds=0.5)
    for _ in range(30):
        end(traces, traces.start("quick"), seconds=0.002)
    end(traces, traces.start("client error"), status=404)
    assert exported == []
    end(traces, traces.start("the one"), seconds=seconds, status=status)
    assert [each.trace.request_id for each in exported] == ["the one"]


def test_a_sampled_request_is_exported() -> None:
    traces, exported = recorder(sample_rate=1.0)
    end(traces, traces.start("request-1"))
    assert len(exported) == 1


def test_without_an_exporter_nothing_is_sampled_and_recent_requests_are_reported() -> None:
    traces = TraceRecorder(sample_rate=1.0, trusts_caller=True)
    assert not traces.start("request-1").sampled
    assert not traces.start_below(SENT, None, "request-1").sampled
    end(traces, traces.start("request-1"))
    end(traces, traces.start("request-2"), status=500)
    assert len(traces.recent.report()) == 2


def test_a_span_that_is_added_after_the_end_is_not_kept() -> None:
    """Breaks when a background task still adds spans while they are exported."""
    traces, _ = recorder()
    trace = traces.start("request-1")
    end(traces, trace)
    trace.add("late", "query", 0.0, 1.0, None, "")
    assert trace.spans == []


def test_dropped_spans_are_counted() -> None:
    traces, _ = recorder()
    trace = traces.start("request-1")
    for _ in range(MAX_SPANS + 4):
        trace.add("loop", "query", 0.0, 1.0, None, "")
    end(traces, trace)
    (family,) = traces.collect()
    assert (family.name, family.samples[0].value) == ("restwell_trace_spans_dropped", 4)


def test_a_job_continues_the_trace_and_the_sampling_of_its_request() -> None:
    traces, exported = recorder(sample_rate=0.0)
    trace = traces.start_job(SENT.decode(), "request-1")
    assert (trace.trace_id, trace.sampled, trace.request_id) == (TRACE_ID, True, "request-1")
    own = traces.start_job(None, None)
    assert (own.parent_id, own.sampled, own.request_id) == ("", False, None)
    for each, failed in ((trace, False), (own, False), (traces.start_job("", None), True)):
        traces.end_job(EndedJob(each, 0.0, 9.0, time.time(), "note", "default", "1", 1, "done"), failed=failed)
    assert [each.trace.sampled for each in exported] == [True, False]
