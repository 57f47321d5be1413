"""Spans of OpenTelemetry at a real receiver: names, kinds, parents, times and attributes of the conventions."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otlp_receiver import receiving
from restwell.observability import _otlp as module
from restwell.observability._otlp import OtlpSender
from restwell.observability._recent_requests import Ended, EndedJob, EndedRequest
from restwell.observability._trace import Trace, current, http_span, new_ids, span
from servers import free_port

SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL, ERROR = 2, 3, 4, 5, 1, 2


def sender(url: str, headers: dict[str, str] | None = None) -> OtlpSender:
    return OtlpSender(f"{url}/v1/traces", headers or {}, lambda: {"service.name": "shop"}, database="postgresql")


def request(trace: Trace, *, method: str = "GET", status: int = 200, route: str | None = "/orders/{id}") -> Ended:
    now = time.perf_counter()
    return EndedRequest(trace, now - 0.2, now, time.time(), method, route, "/orders/1", "https", status, "user-1")


def in_trace(trace: Trace, work: Callable[[], None]) -> None:
    current.set((trace, trace.span_id, None))
    work()
    current.set(None)


@pytest.mark.slow
def test_a_large_batch_is_sent_in_halves_and_a_long_text_is_cut_off(tmp_path: Path) -> None:
    """Fails if a batch is one request: a vendor refuses it, and the traces are lost."""

    def add_long_texts() -> None:
        for _ in range(80):
            with span("part", "internal", {"text": "x" * 5_000}):
                pass

    traces = [Trace(*new_ids()) for _ in range(5)]
    for trace in traces:
        in_trace(trace, add_long_texts)
    with receiving(tmp_path) as receiver:
        assert sender(receiver.url).send([request(trace) for trace in traces]) is None
        received = receiver.requests
    assert [len({each["trace_id"] for each in sent["spans"]}) for sent in received] == [2, 1, 2]
    assert all(int(sent["headers"]["content-length"]) <= module.MAX_BODY_BYTES for sent in received)
    texts = [each["attributes"]["text"] for sent in received for each in sent["spans"] if each["name"] == "part"]
    assert {len(text) for text in texts} == {4_095}


def test_a_request_is_one_trace_of_spans_with_standard_names(tmp_path: Path) -> None:
    trace = Trace(*new_ids(), parent_id="c" * 16, request_id="request-1", tracestate="vendor=1", cache="miss")

    def work() -> None:
        with span("cache user", "cache", {"outcome": "load"}) as cached:
            trace.add("users.by_id", "query", trace_began, time.perf_counter(), "DatabaseBusy", cached._span_id)
        with http_span("POST", "https://api.test/charges?key=secret") as call:
            call.attributes["status"] = 502
        with span("enqueue note", "enqueue", {"queue": "mail", "job_id": 7}):
            pass
        with span("resize", "internal", {"pixels": 12}):
            pass

    trace_began = time.perf_counter()
    in_trace(trace, work)
    with receiving(tmp_path) as receiver:
        assert sender(receiver.url, {"api-key": "k"}).send([request(trace, status=503)]) is None
        (sent,) = receiver.requests
    assert (sent["path"], sent["headers"]["api-key"]) == ("/v1/traces", "k")
    assert sent["headers"]["content-type"] == "application/x-protobuf"
    assert sent["resource"]["service.name"] == "shop"
    assert len(sent["resource"]["service.instance.id"]) == 36
    spans = {each["name"]: each for each in sent["spans"]}
    root = spans["GET /orders/{id}"]
    assert (root["kind"], root["parent_id"], root["status"]) == (SERVER, "c" * 16, ERROR)
    assert root["tracestate"] == "vendor=1"
    assert root["end"] - root["start"] == pytest.approx(0.2, abs=0.001)
    assert root["end"] == pytest.approx(time.time(), abs=20)
    assert root["attributes"] == {
        "http.request.method": "GET",
        "http.route": "/orders/{id}",
        "http.response.status_code": 503,
        "url.path": "/orders/1",
        "url.scheme": "https",
        "error.type": "503",
        "restwell.request_id": "request-1",
        "restwell.cache.result": "miss",
    }
    query = spans["users.by_id"]
    assert (query["kind"], query["parent_id"], query["status"]) == (CLIENT, spans["cache user"]["span_id"], ERROR)
    assert query["attributes"] == {
        "db.system.name": "postgresql",
        "db.query.summary": "users.by_id",
        "error.type": "DatabaseBusy",
    }
    assert spans["cache user"]["attributes"] == {"restwell.cache.outcome": "load"}
    assert spans["POST api.test"]["attributes"] == {
        "http.request.method": "POST",
        "server.address": "api.test",
        "server.port": 443,
        "http.response.status_code": 502,
        "error.type": "502",
    }
    assert (spans["enqueue note"]["kind"], spans["enqueue note"]["attributes"]) == (
        PRODUCER,
        {
            "messaging.system": "restwell",
            "messaging.operation.type": "send",
            "messaging.operation.name": "enqueue",
            "messaging.destination.name": "mail",
            "messaging.message.id": "7",
        },
    )
    assert (spans["resize"]["kind"], spans["resize"]["attributes"]) == (INTERNAL, {"pixels": 12})
    assert {each["trace_id"] for each in sent["spans"]} == {trace.trace_id}
    assert len({each["span_id"] for each in sent["spans"]}) == len(sent["spans"])


def test_a_job_an_unknown_method_and_a_cancelled_request_have_their_names(tmp_path: Path) -> None:
    job = Trace(*new_ids(), parent_id="d" * 16, error="ValueError")
    attempt = EndedJob(job, 1.0, 2.0, time.time(), "note", "mail", "7", 3, "failed")
    with receiving(tmp_path) as receiver:
        odd, gone = request(Trace(*new_ids()), method="BREW", route=None), request(Trace(*new_ids()), status=0)
        assert sender(receiver.url).send([attempt, odd, gone]) is None
        failed, brewed, cancelled = receiver.spans
    assert (failed["name"], failed["kind"], failed["parent_id"], failed["status"]) == (
        "job note",
        CONSUMER,
        "d" * 16,
        ERROR,
    )
    assert failed["attributes"]["restwell.job.attempt"] == 3
    assert failed["attributes"]["messaging.message.id"] == "7"
    assert (brewed["name"], brewed["attributes"]["http.request.method"]) == ("HTTP", "_OTHER")
    assert brewed["attributes"]["http.request.method_original"] == "BREW"
    assert (cancelled["attributes"]["error.type"], cancelled["status"]) == ("cancelled", ERROR)


def test_a_value_that_protobuf_does_not_have_is_sent_as_text(tmp_path: Path) -> None:
    """Fails if the encoder raises: one attribute, or one path of a client, would cost a batch of traces."""
    trace = Trace(*new_ids())
    values: dict[str, Any] = {"whole": 7, "part": 0.5, "flag": True, "large": 2**70, "list": [1], "odd": "\ud800"}
    trace.add("work", "internal", 0.0, 1.0, None, trace.span_id, attributes=values)
    with receiving(tmp_path) as receiver:
        assert sender(receiver.url).send([request(trace)]) is None
        (sent,) = [each["attributes"] for each in receiver.spans if each["name"] == "work"]
    assert sent == {"whole": 7, "part": 0.5, "flag": True, "large": str(2**70), "list": "[1]", "odd": "'\\ud800'"}


@pytest.mark.slow
def test_a_collector_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a 503 is final: each restart of a collector would lose the batches of its moment."""
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 2.0)
    with receiving(tmp_path, status=503) as receiver:
        assert "503" in str(sender(receiver.url).send([request(Trace(*new_ids()))]))
        assert len(receiver.requests) > 1
    with receiving(tmp_path / "refused", status=400) as receiver:
        assert "400" in str(sender(receiver.url).send([request(Trace(*new_ids()))]))
        assert len(receiver.requests) == 1


@pytest.mark.slow
def test_a_retry_after_that_is_too_long_and_the_end_of_the_process_end_the_repetition(tmp_path: Path) -> None:
    """Fails if the process waits for a collector that asks for an hour."""
    with receiving(tmp_path, status=429, retry_after="3600") as receiver:
        assert "429" in str(sender(receiver.url).send([request(Trace(*new_ids()))]))
        assert len(receiver.requests) == 1
    with receiving(tmp_path / "closed", status=503) as receiver:
        one = sender(receiver.url)
        one._closing.set()
        assert "503" in str(one.send([request(Trace(*new_ids()))]))
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(("status", "reason"), [(401, "401"), (400, "400"), (307, "307")])
def test_the_reason_of_a_refusal_is_known(tmp_path: Path, status: int, reason: str) -> None:
    """Breaks when only the failure is reported: a wrong key looks like a network that is down."""
    with receiving(tmp_path, status=status) as receiver:
        assert reason in str(sender(receiver.url).send([request(Trace(*new_ids()))]))


def test_a_dead_collector_and_a_trace_that_cannot_be_encoded_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = sender(f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    assert one.send([request(Trace(*new_ids()))]) is not None
    assert "ValueError" in str(one.send([request(Trace("no hexadecimal", "x"))]))
    one.close()


def test_another_kind_of_trace_is_a_type_error() -> None:
    ended: Any = Ended(Trace(*new_ids()), 0.0, 1.0, 1.0)
    assert "TypeError" in str(sender("http://127.0.0.1:1").send([ended]))
