"""One line for each request: who asked for what, what came of it, and how long it took."""

import time

import structlog

from restwell.edge.exchange import Concern, Exchange

log = structlog.get_logger("restwell.access")


class AccessLog(Concern):
    """Logs the route template beside the path, so that lines group by route; never the query, which may hold secrets."""

    def after(self, exchange: Exchange) -> None:
        scope = exchange.scope
        client = scope.get("client")
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=scope.get("path_template"),
            status=exchange.status,
            duration_ms=round((time.perf_counter() - exchange.started) * 1_000, 3),
            user_id=exchange.user_id,
            client=client[0] if client else None,
        )
