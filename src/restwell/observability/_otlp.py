"""Sends traces with OpenTelemetry's exporter: OTLP over HTTP, in protobuf. Imported only if an endpoint is configured.

The names of attributes follow the semantic conventions of OpenTelemetry. Nothing of a request is sent but its method,
path, route and status: no query, no header, no body, no user.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from restwell._extras import needs_extra
from restwell.observability._recent_requests import Ended, EndedJob, EndedRequest
from restwell.observability._trace import Kind, Span
from restwell.observability._trace_recorder import FIRST_ERROR_STATUS

with needs_extra("otel", "OTEL_EXPORTER_OTLP_ENDPOINT"):
    from opentelemetry.exporter.otlp.proto.http import trace_exporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
    from opentelemetry.trace.span import TraceState

TIMEOUT_SECONDS: Final = 5.0
"""The limit of one batch, with its repetitions."""
FIRST_CLIENT_ERROR: Final = 400
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "query": SpanKind.CLIENT,
    "http": SpanKind.CLIENT,
    "enqueue": SpanKind.PRODUCER,
}
_SCOPE: Final = InstrumentationScope("restwell")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class OtlpSender:
    """``url`` is the whole URL. ``database``: the name of the database system."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        resource: Callable[[], Mapping[str, str]],
        *,
        database: str,
    ) -> None:
        self._exporter = trace_exporter.OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=TIMEOUT_SECONDS)
        logging.getLogger(trace_exporter.__name__).addFilter(_failure)
        self._describe = resource
        self._resource: Resource | None = None
        self._database = database

    def send(self, traces: Sequence[Ended]) -> str | None:
        if self._resource is None:
            self._resource = Resource.create({"service.instance.id": str(uuid4()), **self._describe()})
        _failure.message = "unknown"
        try:
            spans = [span for each in traces for span in self.spans_of(each, self._resource)]
            accepted = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # the thread continues
            return repr(error)
        return None if accepted else _failure.message

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # untyped in the SDK

    def spans_of(self, ended: Ended, resource: Resource) -> Iterator[ReadableSpan]:
        trace = ended.trace
        trace_id, own_id = int(trace.trace_id, 16), int(trace.span_id, 16)
        state = TraceState.from_header([trace.tracestate]) if trace.tracestate else TraceState()
        offset = ended.ended_at - ended.ended

        def span(
            name: str,
            span_id: int,
            parent: SpanContext | None,
            times: tuple[float, float],
            kind: SpanKind,
            attributes: Mapping[str, Any],
        ) -> ReadableSpan:
            error = attributes.get("error.type")
            return ReadableSpan(
                name,
                context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=state),
                parent=parent,
                resource=resource,
                attributes={key: value for key, value in attributes.items() if value is not None},
                kind=kind,
                status=Status(StatusCode.ERROR) if error is not None else Status(StatusCode.UNSET),
                start_time=int((times[0] + offset) * 1e9),
                end_time=int((times[1] + offset) * 1e9),
                instrumentation_scope=_SCOPE,
            )

        caller = None
        if trace.parent_id:
            caller = SpanContext(trace_id, int(trace.parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
        name, kind, attributes = _root(ended)
        yield span(name, own_id, caller, (ended.began, ended.ended), kind, attributes)
        for number, each in enumerate(list(trace.spans), 1):
            _, _, began, end, _, parent_id, span_id, _ = each
            parent = SpanContext(trace_id, int(parent_id, 16), is_remote=False, trace_flags=_SAMPLED)
            yield span(
                each[0],
                int(span_id, 16) if span_id else (own_id + number) % 2**64 or 1,
                parent,
                (began, end),
                _KINDS.get(each[1], SpanKind.INTERNAL),
                self._attributes(each),
            )

    def _attributes(self, span: Span) -> dict[str, Any]:
        name, kind, _, _, error, _, _, given = span
        own = given or {}
        if kind == "query":
            return {"db.system.name": self._database, "db.query.summary": name, "error.type": error}
        if kind == "cache":
            return {"restwell.cache.outcome": own.get("outcome"), "error.type": error}
        if kind == "http":
            status = own.get("status")
            return {
                "http.request.method": own.get("method"),
                "server.address": own.get("host"),
                "server.port": own.get("port"),
                "http.response.status_code": status,
                "error.type": error or (str(status) if status is not None and status >= FIRST_CLIENT_ERROR else None),
            }
        if kind == "enqueue":
            job_id = own.get("job_id")
            return {
                "messaging.system": "restwell",
                "messaging.operation.type": "send",
                "messaging.operation.name": "enqueue",
                "messaging.destination.name": own.get("queue"),
                "messaging.message.id": str(job_id) if job_id is not None else None,
                "messaging.batch.message_count": own.get("count"),
                "error.type": error,
            }
        return {**own, "error.type": error}


class _LastMessage(logging.Filter):
    """Takes the log lines of the exporter, one or more for each batch that fails. The last one says why."""

    message = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.message = record.getMessage()
        return False


_failure: Final = _LastMessage()


def _root(ended: Ended) -> tuple[str, SpanKind, dict[str, Any]]:
    trace = ended.trace
    common = {
        "restwell.request_id": trace.request_id,
        "restwell.cache.result": trace.cache,
        "restwell.dropped_spans": trace.dropped or None,
    }
    if isinstance(ended, EndedRequest):
        is_known = ended.method in METHODS
        method = ended.method if is_known else "HTTP"
        failed = ended.status >= FIRST_ERROR_STATUS or not ended.status
        return (
            f"{method} {ended.route}" if ended.route is not None else method,
            SpanKind.SERVER,
            {
                "http.request.method": ended.method if is_known else "_OTHER",
                "http.request.method_original": None if is_known else ended.method[:32],
                "http.route": ended.route,
                "http.response.status_code": ended.status or None,
                "url.path": ended.path,
                "url.scheme": ended.scheme,
                "error.type": (trace.error or str(ended.status or "cancelled")) if failed else None,
                **common,
            },
        )
    if isinstance(ended, EndedJob):
        return (
            f"job {ended.name}",
            SpanKind.CONSUMER,
            {
                "messaging.system": "restwell",
                "messaging.operation.type": "process",
                "messaging.operation.name": "job",
                "messaging.destination.name": ended.queue,
                "messaging.message.id": ended.job_id,
                "restwell.job.attempt": ended.attempt,
                "restwell.job.outcome": ended.outcome,
                "error.type": trace.error,
                **common,
            },
        )
    raise TypeError(type(ended))
