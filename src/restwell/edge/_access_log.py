"""The access log: one line per request."""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from restwell.edge._context import Hook, RequestContext
from restwell.observability._logs import JsonLogWriter

log = structlog.get_logger("restwell.access")


class _Line(Struct):
    method: str
    path: str
    route: str | None
    status: int
    duration_ms: float
    user_id: UUID | str | int | None
    client: str | None
    request_id: str
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
        scope = context.scope
        client = scope.get("client")
        line = _Line(
            context.method,
            scope["path"],
            scope.get("path_template"),
            context.status,
            int((time.perf_counter() - context.started_at) * 1e6) / 1e3,
            context.user_id,
            client[0] if client else None,
            context.request_id,
            datetime.now(UTC),
        )
        if self._writer is not None:
            self._writer.write(line)
        else:
            log.info("request", **{name: getattr(line, name) for name in _FIELDS})
