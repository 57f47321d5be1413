"""The slowest and the failed requests of a process: few, bounded in bytes, with their spans."""

import time

import msgspec
import pytest

from restwell.observability import _recent_requests as module
from restwell.observability._recent_requests import (
    MAX_BYTES,
    MAX_FAILED,
    MAX_SLOW,
    EndedRequest,
    RecentRequest,
    RecentRequests,
)
from restwell.observability._trace import MAX_SPANS, Trace, new_ids


def request(seconds: float, *, status: int = 200, path: str = "/orders") -> EndedRequest:
    trace = Trace(*new_ids(), request_id="request-1", db_seconds=seconds / 2, cache="miss")
    now = time.perf_counter()
    return EndedRequest(trace, now - seconds, now, time.time(), "GET", "/orders", path, "http", status, "user-1")


def decode(recent: RecentRequests) -> list[RecentRequest]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(recent.report()), type=list[RecentRequest])


def test_the_failed_requests_come_first_and_then_the_slowest() -> None:
    """Breaks when the newest replace the slowest."""
    recent = RecentRequests()
    for number in range(MAX_SLOW + 5):
        recent.add(request(number / 10), failed=False)
    for number in range(MAX_FAILED + 5):
        recent.add(request(0.001, status=503, path=f"/{number}"), failed=True)
    found = decode(recent)
    assert [each.path for each in found[:MAX_FAILED]] == [f"/{n}" for n in range(MAX_FAILED + 4, 4, -1)]
    assert [round(each.seconds, 1) for each in found[MAX_FAILED:]] == [n / 10 for n in range(MAX_SLOW + 4, 4, -1)]
    assert recent.threshold_seconds == pytest.approx(0.5, abs=0.01)


def test_a_request_keeps_what_explains_it() -> None:
    recent = RecentRequests()
    ended = request(0.4, status=500)
    trace, began = ended.trace, ended.began
    trace.error = "ValueError"
    trace.add("users.by_id", "query", began + 0.11, began + 0.12, "DatabaseBusy", "c" * 16)
    trace.add("cache user", "cache", began + 0.1, began + 0.2, None, trace.span_id, "c" * 16)
    trace.dropped = 7
    recent.add(ended, failed=True)
    (found,) = decode(recent)
    assert (found.trace_id, found.request_id, found.error, found.dropped_spans) == (
        trace.trace_id,
        "request-1",
        "ValueError",
        7,
    )
    assert (found.route, found.status, found.user_id, found.cache) == ("/orders", 500, "user-1", "miss")
    assert (found.db_seconds, round(found.seconds, 3)) == (0.2, 0.4)
    assert found.started_at.timestamp() == pytest.approx(time.time() - 0.4, abs=5)
    assert [(each.name, each.began, each.seconds, each.error, each.depth) for each in found.spans] == [
        ("cache user", 0.1, 0.1, None, 1),
        ("users.by_id", 0.11, 0.01, "DatabaseBusy", 2),
    ]


def test_the_report_is_bounded_in_bytes() -> None:
    """Breaks without the limit: a section that is too large is not reported at all."""
    recent = RecentRequests()
    for _ in range(MAX_SLOW):
        large = request(1.0, path="/" + "x" * 10_000)
        for _ in range(MAX_SPANS):
            large.trace.add("n" * 1_000, "query", large.began, large.ended, None, "")
        recent.add(large, failed=True)
    found = recent.report()
    assert len(found) > 0
    assert len(msgspec.msgpack.encode(found)) <= MAX_BYTES + 100


def test_slow_requests_of_the_window_before_are_replaced_by_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without windows: after one bad minute nothing new would ever be shown."""
    now = [1_000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    recent = RecentRequests()
    for _ in range(MAX_SLOW):
        recent.add(request(5.0, path="/old"), failed=False)
    assert recent.threshold_seconds > 4
    assert recent.report() is recent.report(), "nothing is encoded twice"
    now[0] += 61
    assert len(recent.report()) == MAX_SLOW
    assert recent.threshold_seconds == 0
    recent.add(request(0.1, path="/new"), failed=False)
    assert [each.path for each in decode(recent)] == ["/old"] * MAX_SLOW + ["/new"]
    now[0] += 61
    assert [each.path for each in decode(recent)] == ["/new"]
