"""The context of a request, the base class of the hooks, and the ASGI types."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from msgspec import Struct

from restwell.edge._route import Route
from restwell.observability._trace import Active, Trace
from restwell.rate_limits._rate import RateLimitResult

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers and body."""
Answer = Response | Awaitable[Response | None] | None

SCOPE_KEY: Final = "restwell"
"""The key of the RequestContext in the ASGI scope."""

_NO_PARAMETERS: Final[Mapping[str, Any]] = {}


class RequestContext(Struct, eq=False):
    """The state of one request.

    ``headers``: the header fields by lower-case name; HeaderFields joins repeated ones. ``method``: as it was sent; the
    application handles HEAD as GET. ``receive``: what the application calls. ``route`` and ``path_parameters``: set by
    Routing, if the request has a route. ``is_prepared``: the response of the hook has the cacheable headers already.
    ``status``: 0 until the response starts. ``stream_started_at``: when an event stream began, which may last for
    hours: its duration in metrics and traces ends there. ``body_bytes``: what was sent of the body.
    ``user_id`` and ``caller``, the actor: set by authentication. ``query_budgets``: of each handler that the request
    runs, if they are not that of its route. ``sunset``: when the route ends, as a Unix timestamp; 0 if not within a
    year. ``rate_limit``: the result of counting the request.
    ``timed_out``: set when the timeout cancels the request.
    ``holds_slot``: whether the request holds a slot of the concurrency limiter. ``cache_lookup``: set if the response
    is to be loaded into the response cache. ``consistency``: how recent replica reads must be. ``trace_ids``: set by
    Tracing. ``trace``: what ``start_trace`` has made. ``outer_trace``: what this task did before the request.
    """

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes]
    method: str
    started_at: float
    ended_at: float = 0.0
    stream_started_at: float = 0.0
    request_id: str = ""
    route: Route | None = None
    path_parameters: Mapping[str, Any] = _NO_PARAMETERS
    status: int = 0
    body_bytes: int = 0
    is_prepared: bool = False
    sunset: float = 0.0
    rate_limit: RateLimitResult | None = None
    timed_out: bool = False
    holds_slot: bool = False
    cache_lookup: Any = None
    consistency: Any = None
    user_id: UUID | str | int | None = None
    caller: object = None
    query_budgets: Sequence[Mapping[str, int]] = ()
    trace_ids: tuple[str, str] | None = None
    trace: Trace | None = None
    outer_trace: Active | None = None

    def start_trace(self) -> Trace | None:
        """The trace of the request; None before Tracing. Most cached responses need none: they are sent before."""
        if self.trace is None and self.trace_ids is not None:
            self.trace = Trace(*self.trace_ids, request_id=self.request_id, cache="hit" if self.is_prepared else None)
        return self.trace


def new_context(scope: Scope, receive: Receive) -> RequestContext:
    return RequestContext(scope, receive, dict(scope["headers"]), scope["method"], time.perf_counter())


def request_context(scope: Scope) -> RequestContext:
    """The context that the edge stored in this ASGI scope."""
    context: RequestContext = scope[SCOPE_KEY]
    return context


class Hook:
    """An entry of the edge. Override the methods it needs; a method that is not overridden is never called.

    The hooks admit a request in their order. One may answer it: later hooks and the application do not see it then.
    ``on_response`` and ``after`` are called for the hooks up to the one that answered, or all of them.

    ``cacheable_headers``: its response headers depend on the response alone, so they are computed once for a cached
    response.
    """

    cacheable_headers: ClassVar[bool] = False

    def admit(self, context: RequestContext) -> Answer:
        """Runs when the request arrives. Return a response, or raise an AppError, to answer the request.

        Return an awaitable, of the response or None, to wait. The other hooks change the headers of the response.
        """

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        """Runs when the response starts. May change ``headers``."""

    def after(self, context: RequestContext) -> None:
        """Runs in reverse order when the request has ended, also if it was cancelled."""
