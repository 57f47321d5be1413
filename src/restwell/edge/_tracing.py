"""The trace of each request: continues the caller's (W3C Trace Context), and keeps it if it was slow or failed.

Log lines of the request, also of tasks that it starts, have the ids of the trace and of the request.
"""

import time
from collections.abc import Collection, Iterable
from typing import Final

from restwell.edge._context import Hook, RequestContext
from restwell.observability._recent_requests import EndedRequest
from restwell.observability._trace import current, new_ids, unused_ids
from restwell.observability._trace_recorder import TraceRecorder

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"


class Tracing(Hook):
    """Requests for ``exempt_paths``, such as health checks, are never kept."""

    def __init__(self, recorder: TraceRecorder, exempt_paths: Collection[str] = ()) -> None:
        self._start, self._start_below, self._samples = recorder.start, recorder.start_below, recorder.samples
        self._end, self._keep = recorder.end, recorder.keep_request
        self._exempt_paths = exempt_paths

    def admit(self, context: RequestContext) -> None:
        headers = context.headers
        if TRACEPARENT in headers:
            sent = headers if len(headers) == len(context.scope["headers"]) else _joined(context.scope["headers"])
            context.trace = self._start_below(sent[TRACEPARENT], sent.get(TRACESTATE), context.request_id)
        elif self._samples:
            context.trace = self._start(context.request_id)
        else:
            context.trace_ids = unused_ids.pop() if unused_ids else new_ids()  # most requests call no function

    def after(self, context: RequestContext) -> None:
        ended_at = context.stream_started_at or context.ended_at
        if self._end(context.trace, ended_at - context.started_at, context.status):
            scope, trace = context.scope, context.start_trace()
            if trace is None or scope["path"] in self._exempt_paths:
                return
            user = context.user_id
            self._keep(
                EndedRequest(
                    trace,
                    context.started_at,
                    ended_at,
                    time.time(),
                    context.method,
                    scope.get("path_template"),
                    scope["path"],
                    scope.get("scheme", "http"),
                    context.status,
                    str(user) if user is not None else None,
                )
            )


class CurrentTrace(Hook):
    """Makes the trace that of the task, and counts its queries.

    A request that is answered before this hook does nothing that takes time.
    """

    def admit(self, context: RequestContext) -> None:
        trace = context.start_trace()
        if trace is not None:
            context.outer_trace = current.get()
            current.set((trace, trace.span_id, {}))

    def after(self, context: RequestContext) -> None:
        current.set(context.outer_trace)


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Repeated fields are joined: traceparent is invalid then."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in {TRACEPARENT, TRACESTATE}:
            found[name] = found[name] + b"," + value if name in found else value
    return found
