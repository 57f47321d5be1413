"""The access log: one line per request, with level error for a 5xx and for a request without a response."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from restwell.edge._context import Hook, RequestContext
from restwell.observability._logs import JsonLogWriter
from restwell.observability._trace_recorder import FIRST_ERROR_STATUS

log = structlog.get_logger("restwell.access")


class _Line(Struct):
    """``db_ms``: the time of all its queries. ``cache``: "miss" if anything cached had to be loaded, else "hit"."""

    method: str
    path: str
    route: str | None
    status: int
    duration_ms: float
    user_id: UUID | str | int | None
    client: str | None
    request_id: str
    trace_id: str | None
    span_id: str | None
    db_ms: float
    cache: str | None
    timestamp: datetime
    event: str = "request"
    level: str = "info"


_FIELDS: Final = _Line.__struct_fields__[: _Line.__struct_fields__.index("timestamp")]


class AccessLog(Hook):
    """Logs the path and its route template, never the query string, which may contain secrets.

    Lines go to ``writer``, which batches them, or to structlog without one.
    """

    def __init__(self, writer: JsonLogWriter | None = None) -> None:
        self._writer = writer

    def after(self, context: RequestContext) -> None:
        scope, trace, status = context.scope, context.trace, context.status
        client = scope.get("client")
        is_error = status >= FIRST_ERROR_STATUS or not status
        if trace is None:
            trace_id, span_id = context.trace_ids or (None, None)
            db_seconds, cache = 0.0, "hit" if context.is_prepared else None
        else:
            trace_id, span_id, db_seconds, cache = trace.trace_id, trace.span_id, trace.db_seconds, trace.cache
        line = _Line(
            context.method,
            scope["path"],
            scope.get("path_template"),
            status,
            int((context.ended_at - context.started_at) * 1e6) / 1e3,
            context.user_id,
            client[0] if client else None,
            context.request_id,
            trace_id,
            span_id,
            int(db_seconds * 1e6) / 1e3 if db_seconds else 0.0,
            cache,
            datetime.now(UTC),
        )
        if is_error:
            line.level = "error"
        if self._writer is not None:
            self._writer.write(line)
        else:
            write = log.error if is_error else log.info
            write("request", **{name: getattr(line, name) for name in _FIELDS})
