"""The context of a request, the base class of the hooks, and the ASGI types."""

import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, ClassVar, Final
from uuid import UUID

from restwell.database._consistency import SessionConsistency
from restwell.rate_limits._rate import RateLimitResult

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers and body."""

SCOPE_KEY: Final = "restwell"
"""The key of the RequestContext in the ASGI scope."""


class RequestContext:
    """The state of one request.

    ``headers``: the header fields by lower-case name; HeaderFields joins repeated ones. ``status``: 0 until the
    response starts. ``user_id``: set by authentication. ``rate_limit``: the result of counting the request.
    ``timeout_seconds``: the timeout of its route, if it has one of its own. ``timed_out``: set when the timeout cancels
    the request. ``holds_slot``: whether the request holds a slot of the concurrency limiter. ``consistency``: how
    recent replica reads must be. ``response``: a hook that sets it in ``before`` answers the request; later hooks and
    the application do not run.
    """

    __slots__ = (
        "consistency",
        "headers",
        "holds_slot",
        "rate_limit",
        "request_id",
        "response",
        "scope",
        "started_at",
        "status",
        "timed_out",
        "timeout_seconds",
        "user_id",
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started_at = time.perf_counter()
        self.request_id = ""
        self.status = 0
        self.response: Response | None = None
        self.rate_limit: RateLimitResult | None = None
        self.timed_out = False
        self.holds_slot = False
        self.timeout_seconds: float | None = None
        self.consistency: SessionConsistency | None = None
        self.user_id: UUID | None = None


def request_context(scope: Scope) -> RequestContext:
    """The context that the edge stored in this ASGI scope."""
    context: RequestContext = scope[SCOPE_KEY]
    return context


class Hook:
    """A hook of the edge. Override the methods it needs; a method that is not overridden is never called.

    ``cacheable_headers``: its response headers depend on the response alone, so they are computed once for a cached
    response. ``app_requests_only``: its ``before`` and ``after`` run only for requests that reach the application, not
    for cache hits.
    """

    cacheable_headers: ClassVar[bool] = False
    app_requests_only: ClassVar[bool] = False

    def before(self, context: RequestContext) -> None:
        """Runs when the request arrives."""

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        """Runs when the response starts. May change ``headers``."""

    def after(self, context: RequestContext) -> None:
        """Runs after the response was sent, or after the request failed."""
