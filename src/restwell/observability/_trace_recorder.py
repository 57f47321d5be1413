"""Starts a trace for each request and job, and decides which of them to retain when they have ended."""

import math
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import define_counter
from restwell.observability._recent_requests import Ended, EndedJob, EndedRequest, RecentRequests
from restwell.observability._trace import (
    MAX_TRACESTATE_CHARS,
    Trace,
    is_chosen,
    new_ids,
    new_span_id,
    parse_traceparent,
    unused_span_ids,
)

FIRST_ERROR_STATUS: Final = 500
SPANS_DROPPED: Final = define_counter(
    "restwell_trace_spans_dropped_total", "Spans that were not recorded: their request or job had more than 100."
)


class TraceRecorder(Collector):
    """Exports the traces that are sampled, slow or failed, and keeps recent requests for the operations page.

    ``sample_rate``: the fraction of all requests that is sampled. A decision of the caller counts only with
    ``trusts_caller``: any client can ask for it. ``export`` must not block.
    """

    def __init__(
        self,
        *,
        sample_rate: float = 0.0,
        trusts_caller: bool = False,
        slow_seconds: float = math.inf,
        export: Callable[[Ended], None] | None = None,
    ) -> None:
        self._sample_rate = sample_rate if export is not None else 0.0
        self.samples = self._sample_rate > 0
        self._trusts_caller = trusts_caller and export is not None
        self._slow_seconds = slow_seconds if export is not None else math.inf
        self.recent = RecentRequests(self._slow_seconds)
        self._export = export
        self._dropped_spans = 0

    def collect(self) -> Iterator[Metric]:
        yield SPANS_DROPPED.family(self._dropped_spans)

    def start(self, request_id: str) -> Trace:
        return Trace(*new_ids(), sampled=self.samples and is_chosen(self._sample_rate), request_id=request_id)

    def start_below(self, caller: bytes, tracestate: bytes | None, request_id: str) -> Trace:
        """The trace of a request with the header traceparent ``caller``. A new one if that is invalid."""
        parsed = parse_traceparent(caller)
        if parsed is None:
            return self.start(request_id)
        trace_id, parent_id, sampled = parsed
        if not self._trusts_caller:
            sampled = self.samples and is_chosen(self._sample_rate)
        span_id = unused_span_ids.pop() if unused_span_ids else new_span_id()
        trace = Trace(trace_id, span_id, parent_id, sampled, request_id)
        if tracestate is not None and len(tracestate) <= MAX_TRACESTATE_CHARS:
            trace.tracestate = tracestate.decode("latin-1")
        return trace

    def start_job(self, traceparent: str | None, request_id: str | None) -> Trace:
        """The trace of an attempt of a job, which continues the one that has enqueued it and is sampled with it."""
        parsed = parse_traceparent(traceparent.encode()) if traceparent is not None else None
        if parsed is None:
            trace = self.start("")
            trace.request_id = request_id
            return trace
        return Trace(parsed[0], new_span_id(), parsed[1], parsed[2], request_id)

    def end(self, trace: Trace | None, seconds: float, status: int) -> bool:
        """Close the trace of a request, if it has one yet. Returns whether to call ``keep_request``."""
        if trace is not None:
            trace.room = 0  # tasks that outlive the request add no more spans
            self._dropped_spans += trace.dropped
            if trace.sampled:
                return True
        return seconds > self.recent.threshold_seconds or not 0 < status < FIRST_ERROR_STATUS

    def keep_request(self, request: EndedRequest) -> None:
        failed = request.status >= FIRST_ERROR_STATUS or not request.status
        if failed or request.seconds > self.recent.threshold_seconds:
            self.recent.add(request, failed=failed)
        if self._export is not None and (failed or request.trace.sampled or request.seconds >= self._slow_seconds):
            self._export(request)

    def end_job(self, job: EndedJob, *, failed: bool) -> None:
        job.trace.room = 0
        self._dropped_spans += job.trace.dropped
        if self._export is not None and (failed or job.trace.sampled):
            self._export(job)
