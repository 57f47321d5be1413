"""A job continues the trace of the request that enqueued it, and its log lines have the id of that request."""

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

import sample_jobs
from jobs_harness import JobsHarness
from restwell.jobs import JobContext, job
from restwell.jobs import _executor as executor

log = structlog.get_logger("test")


async def test_a_job_carries_the_trace_and_the_id_of_its_request(
    harness: JobsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(executor, "_tracer", provider.get_tracer("restwell.jobs"))

    @job(name="note")
    async def note(context: JobContext, text: str) -> None:
        log.info("inside", text=text, job_id=str(context.job_id))
        log.info("context", **structlog.contextvars.get_contextvars())

    harness.known = [note]
    with provider.get_tracer("test").start_as_current_span("request") as request:
        structlog.contextvars.bind_contextvars(request_id="request-1")
        job_id = await harness.enqueue(sample_jobs.note, text="x")
        structlog.contextvars.unbind_contextvars("request_id")
    without_request = await harness.enqueue(sample_jobs.note, text="outside of any request")
    assert trace.get_current_span() is trace.INVALID_SPAN
    with capture_logs() as lines:
        async with harness.worker():
            await harness.wait_until_finished()

    spans = {span.context.trace_id: span for span in exporter.get_finished_spans() if span.name == "job note"}
    span = spans[request.get_span_context().trace_id]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert len(spans) == 2, "a job without a request starts a new trace"
    ids = {line["job_id"]: line["request_id"] for line in lines if line["event"] == "context"}
    assert ids == {str(job_id): "request-1", str(without_request): None}
    done = {str(line["job_id"]): line["request_id"] for line in lines if line["event"] == "job"}
    assert done == ids
