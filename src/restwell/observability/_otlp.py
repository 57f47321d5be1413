"""Sends traces: OTLP over HTTP, in protobuf. Imported only if an endpoint is configured.

The names of attributes follow the semantic conventions of OpenTelemetry. Nothing of a request is sent but its method,
path, route and status: no query, no header, no body, no user.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from restwell._extras import needs_extra
from restwell.observability._recent_requests import Ended, EndedJob, EndedRequest
from restwell.observability._trace import Kind, Span
from restwell.observability._trace_recorder import FIRST_ERROR_STATUS

with needs_extra("otel", "OTEL_EXPORTER_OTLP_ENDPOINT"):
    import httpx
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

TIMEOUT_SECONDS: Final = 5.0
"""The limit of one batch, with its repetitions."""
MAX_BODY_BYTES: Final = 1_000_000
"""A larger batch is sent in halves. New Relic accepts no more."""
MAX_VALUE_CHARS: Final = 4_095
"""Longer texts are cut off. New Relic accepts no more."""
FIRST_PAUSE_SECONDS: Final = 0.5
RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""OTLP/HTTP, Failures: a client repeats these, and a connection that failed."""
FIRST_CLIENT_ERROR: Final = 400
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_KINDS: Final[Mapping[Kind, int]] = {
    "query": otlp.Span.SPAN_KIND_CLIENT,
    "http": otlp.Span.SPAN_KIND_CLIENT,
    "enqueue": otlp.Span.SPAN_KIND_PRODUCER,
}
_FAILED: Final = otlp.Status(code=otlp.Status.STATUS_CODE_ERROR)
_LOCAL_PARENT: Final = otlp.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE_PARENT: Final = _LOCAL_PARENT | otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


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
        self._url = url
        self._http = httpx.Client(headers={**headers, "content-type": "application/x-protobuf"})
        self._closing = threading.Event()
        self._describe = resource
        self._resource: list[KeyValue] | None = None
        self._database = database
        self._query_attributes: dict[tuple[str, str | None], list[KeyValue]] = {}

    def send(self, traces: Sequence[Ended]) -> str | None:
        try:
            body = self._encode(traces)
            if len(body) > MAX_BODY_BYTES and len(traces) > 1:
                half = len(traces) // 2
                return self.send(traces[:half]) or self.send(traces[half:])
            return self._post(body)
        except Exception as error:  # noqa: BLE001  # the thread continues
            return repr(error)

    def close(self) -> None:
        self._closing.set()
        self._http.close()

    def _post(self, body: bytes) -> str | None:
        ends, pause = monotonic() + TIMEOUT_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                response = self._http.post(self._url, content=body, timeout=max(ends - monotonic(), 0.001))
            except httpx.TransportError as error:
                reason, wait = repr(error), pause
            else:
                if response.is_success:
                    return None
                reason, asked = f"{response.status_code} {response.reason_phrase}", response.headers.get("retry-after")
                if response.status_code not in RETRYABLE:
                    return reason
                wait = int(asked) if asked is not None and asked.isdecimal() else pause
            if monotonic() + wait >= ends or self._closing.wait(wait):
                return reason
            pause *= 2

    def _encode(self, traces: Sequence[Ended]) -> bytes:
        if self._resource is None:
            identity = {"service.instance.id": str(uuid4()), "telemetry.sdk.language": "python"}
            self._resource = _key_values({**identity, "telemetry.sdk.name": "restwell", **self._describe()})
        request = ExportTraceServiceRequest()
        found = request.resource_spans.add(resource={"attributes": self._resource})
        add = found.scope_spans.add(scope={"name": "restwell"}).spans.add
        for ended in traces:
            trace = ended.trace
            trace_id = bytes.fromhex(trace.trace_id)
            offset = ended.ended_at - ended.ended
            name, kind, attributes = _root(ended)
            add(
                trace_id=trace_id,
                span_id=bytes.fromhex(trace.span_id),
                parent_span_id=bytes.fromhex(trace.parent_id),
                trace_state=trace.tracestate,
                name=name,
                kind=kind,
                start_time_unix_nano=int((ended.began + offset) * 1e9),
                end_time_unix_nano=int((ended.ended + offset) * 1e9),
                attributes=_key_values(attributes),
                status=_FAILED if attributes["error.type"] is not None else None,
                flags=_REMOTE_PARENT if trace.parent_id else _LOCAL_PARENT,
            )
            for number, span in enumerate(list(trace.spans), int(trace.span_id, 16) + 1):
                name, span_kind, began, end, _, parent_id, span_id, _ = span
                has_failed, key_values = self._attributes(span)
                add(
                    trace_id=trace_id,
                    span_id=bytes.fromhex(span_id) if span_id else (number % 2**64 or 1).to_bytes(8, "big"),
                    parent_span_id=bytes.fromhex(parent_id),
                    trace_state=trace.tracestate,
                    name=name,
                    kind=_KINDS.get(span_kind, otlp.Span.SPAN_KIND_INTERNAL),
                    start_time_unix_nano=int((began + offset) * 1e9),
                    end_time_unix_nano=int((end + offset) * 1e9),
                    attributes=key_values,
                    status=_FAILED if has_failed else None,
                    flags=_LOCAL_PARENT,
                )
        body: bytes = request.SerializeToString()
        return body

    def _attributes(self, span: Span) -> tuple[bool, list[KeyValue]]:
        """Whether the span has failed, and its attributes. Those of a query are built once."""
        name, kind, _, _, error, _, _, given = span
        if kind != "query":
            attributes = _described(kind, given or {}, error)
            return attributes["error.type"] is not None, _key_values(attributes)
        found = self._query_attributes.get((name, error))
        if found is None:
            attributes = {"db.system.name": self._database, "db.query.summary": name, "error.type": error}
            found = self._query_attributes[name, error] = _key_values(attributes)
        return error is not None, found


def _key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items() if value is not None]


def _value(value: Any) -> AnyValue:
    try:
        if isinstance(value, str):
            return AnyValue(string_value=value[:MAX_VALUE_CHARS])
        if isinstance(value, bool):
            return AnyValue(bool_value=value)
        if isinstance(value, int):
            return AnyValue(int_value=value)
        return AnyValue(double_value=value)
    except (TypeError, ValueError):  # another type, more than 64 bits, or a text that is not valid Unicode
        return AnyValue(string_value=ascii(value))


def _described(kind: Kind, own: Mapping[str, Any], error: str | None) -> dict[str, Any]:
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


def _root(ended: Ended) -> tuple[str, int, dict[str, Any]]:
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
            otlp.Span.SPAN_KIND_SERVER,
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
            otlp.Span.SPAN_KIND_CONSUMER,
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
