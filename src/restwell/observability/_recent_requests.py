"""The slowest and the failed requests of the last minutes, with their spans, for the operations page."""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from time import monotonic
from typing import Final

import msgspec
from msgspec import Raw, Struct

from restwell.observability._trace import Kind, Span, Trace

REPORT: Final = "requests"
"""The section of the process report: a list of RecentRequest."""
MAX_SLOW: Final = 20
"""The slowest requests of this and of the previous WINDOW_SECONDS."""
MAX_FAILED: Final = 20
WINDOW_SECONDS: Final = 60.0
MAX_BYTES: Final = 60_000
"""The limit of the section. The fastest requests are left out."""
MAX_TEXT: Final = 200


class RecentSpan(Struct, frozen=True, array_like=True):
    """``began`` and ``seconds`` are relative to the request. ``depth``: 1 for a span directly below the request."""

    name: str
    kind: Kind
    began: float
    seconds: float
    error: str | None
    depth: int


class RecentRequest(Struct, frozen=True):
    """A request that has ended. ``spans`` are in the order of their starts."""

    trace_id: str
    request_id: str
    method: str
    route: str | None
    path: str
    status: int
    started_at: datetime
    seconds: float
    db_seconds: float
    cache: str | None
    user_id: str | None
    error: str | None
    spans: list[RecentSpan]
    dropped_spans: int


class Ended(Struct, frozen=True, eq=False):
    """A request or an attempt of a job that has ended.

    ``began`` and ``ended`` are of ``time.perf_counter``, ``ended_at`` is a Unix timestamp.
    """

    trace: Trace
    began: float
    ended: float
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class EndedRequest(Ended, frozen=True, eq=False):
    """``status`` is 0 if the request was cancelled before its response."""

    method: str
    route: str | None
    path: str
    scheme: str
    status: int
    user_id: str | None


class EndedJob(Ended, frozen=True, eq=False):
    name: str
    queue: str
    job_id: str
    attempt: int
    outcome: str


class RecentRequests:
    """``threshold_seconds``: slower requests are to be added, also if they have not failed.

    ``max_threshold_seconds``: the threshold is never higher.
    """

    def __init__(self, max_threshold_seconds: float = math.inf) -> None:
        self.threshold_seconds = 0.0
        self._max_threshold_seconds = max_threshold_seconds
        self._numbers = count()
        self._slow: list[tuple[float, int, EndedRequest]] = []
        self._slow_before: list[tuple[float, int, EndedRequest]] = []
        self._failed: deque[EndedRequest] = deque(maxlen=MAX_FAILED)
        self._window_ends = monotonic() + WINDOW_SECONDS
        self._report: list[Raw] | None = None

    def add(self, request: EndedRequest, *, failed: bool) -> None:
        self._report = None
        if failed:
            self._failed.append(request)
        entry = request.seconds, next(self._numbers), request
        if len(self._slow) < MAX_SLOW:
            heapq.heappush(self._slow, entry)
        else:
            heapq.heappushpop(self._slow, entry)
        if len(self._slow) == MAX_SLOW:
            self.threshold_seconds = min(self._slow[0][0], self._max_threshold_seconds)

    def report(self) -> list[Raw]:
        """The failed requests, newest first, then the others, slowest first: at most MAX_BYTES in all.

        Call it about once a second: it also begins a new window.
        """
        now = monotonic()
        if now >= self._window_ends:
            self._window_ends = now + WINDOW_SECONDS
            self._slow, self._slow_before = [], self._slow
            self.threshold_seconds = 0.0
            self._report = None
        if self._report is None:
            self._report = _encode(self._sorted())
        return self._report

    def _sorted(self) -> Iterable[EndedRequest]:
        slowest = sorted([*self._slow, *self._slow_before], reverse=True)
        return dict.fromkeys([*reversed(self._failed), *(request for _, _, request in slowest)])


def _encode(requests: Iterable[EndedRequest]) -> list[Raw]:
    encoded = []
    size = 0
    for request in requests:
        data = msgspec.msgpack.encode(_recent(request))
        size += len(data)
        if size > MAX_BYTES:
            break
        encoded.append(Raw(data))
    return encoded


def _recent(request: EndedRequest) -> RecentRequest:
    trace = request.trace
    return RecentRequest(
        trace.trace_id,
        trace.request_id or "",
        request.method[:MAX_TEXT],
        request.route,
        request.path[:MAX_TEXT],
        request.status,
        datetime.fromtimestamp(request.ended_at - request.seconds, UTC),
        request.seconds,
        trace.db_seconds,
        trace.cache,
        request.user_id,
        trace.error,
        _recent_spans(sorted(trace.spans, key=lambda span: span[2]), request.began),
        trace.dropped,
    )


def _recent_spans(spans: Iterable[Span], began: float) -> list[RecentSpan]:
    depths: dict[str, int] = {}
    found = []
    for name, kind, start, end, error, parent_id, span_id, _ in spans:
        depth = depths.get(parent_id, 0) + 1  # a parent starts before its children
        if span_id:
            depths[span_id] = depth
        found.append(RecentSpan(name[:MAX_TEXT], kind, round(start - began, 6), round(end - start, 6), error, depth))
    return found
