"""One request and its answer, as the edge's concerns see it, and what a concern is."""

import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, ClassVar, Final
from uuid import UUID

from restwell.database.consistency import SessionConsistency
from restwell.limits import Allowance

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, Headers, bytes]
"""Status, headers and body."""

SCOPE_KEY: Final = "restwell"
"""Where a request's Exchange lies in its ASGI scope."""


class Exchange:
    """Made for each request. ``headers`` are its header fields by lower-case name, joined by HeaderFields; ``status`` is 0 until the answer starts; ``user_id`` is set by whoever authenticates; ``expired``
    says that its time ran out first, ``consistency`` how new what it reads must be, where there are replicas, ``allowance`` what it
    was told of its rate, ``seconds`` the time of its route, where that has its own, ``running`` whether it counts as under way. A
    concern that sets ``answer`` before anything has been done has answered the request.
    """

    __slots__ = (
        "allowance",
        "answer",
        "consistency",
        "expired",
        "headers",
        "request_id",
        "running",
        "scope",
        "seconds",
        "started",
        "status",
        "user_id",
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = time.perf_counter()
        self.request_id = ""
        self.status = 0
        self.answer: Reply | None = None
        self.allowance: Allowance | None = None
        self.expired = False
        self.running = False
        self.seconds: float | None = None
        self.consistency: SessionConsistency | None = None
        self.user_id: UUID | None = None


def exchange_in(scope: Scope) -> Exchange:
    """The exchange of the request whose scope this is; the edge has put it there."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange


class Concern:
    """One duty of the edge. Override what it needs; what it leaves out costs nothing.

    ``constant``: its headers depend on the answer alone, so they are made once for an answer that is kept. ``inside``: it concerns
    only requests that enter the application, not those that are answered with what is kept.
    """

    constant: ClassVar[bool] = False
    inside: ClassVar[bool] = False

    def before(self, exchange: Exchange) -> None:
        """The request has come in; nothing has been done yet."""

    def on_response(self, exchange: Exchange, headers: Headers) -> None:
        """The answer starts: its status is known and its headers may still be changed."""

    def after(self, exchange: Exchange) -> None:
        """The answer has been sent, or the request has failed."""
