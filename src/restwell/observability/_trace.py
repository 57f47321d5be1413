"""The trace of a request or a job: its ids, and a tuple for each thing that took time.

Nothing else happens while the request runs. Spans of OpenTelemetry are encoded afterwards, in another thread, for the
few requests that are exported (``_trace_export.py``). The ids follow W3C Trace Context, level 1.
"""

import os
import random
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import structlog
from msgspec import Struct

MAX_SPANS: Final = 100
"""The number of spans of a trace. Further ones are counted and dropped."""
MAX_TRACESTATE_CHARS: Final = 512
"""W3C Trace Context 3.3.1.5 asks for at least this. A longer tracestate is not passed on."""
FAST_SECONDS: Final = 0.001
"""Guards that are faster, and neither fail nor wait for anything, are no span."""

Kind = Literal["query", "cache", "guard", "enqueue", "http", "internal"]
Span = tuple[str, Kind, float, float, str | None, str, str, dict[str, Any] | None]
"""Name, kind, start and end (``time.perf_counter``), name of the error's type, id of the parent, own id, attributes.

The own id is empty if no other span and no other process refers to it.
"""

_SHAPE: Final = bytes.maketrans(
    bytes(range(256)),
    bytes(ord("0") if byte in b"0123456789abcdef" else byte if byte == ord("-") else 0 for byte in range(256)),
)
"""Each hexadecimal digit becomes a zero, a dash stays, and any other byte is invalid."""
_VALID: Final = b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"
_LENGTH: Final = len(_VALID)
"""Of a traceparent of version 00. Later versions may have more fields."""
_NO_TRACE_ID: Final = "0" * 32
_NO_SPAN_ID: Final = "0" * 16
_ODD_DIGITS: Final = "13579bdf"
_BATCH: Final = 64
_random: Final = random.Random()  # noqa: S311  # no secrets; apart from ``random.seed`` of the application
unused_ids: Final[list[tuple[str, str]]] = []
"""Ids that were not used yet. One at a time would cost each request half a microsecond."""
unused_span_ids: Final[list[str]] = []


def _start_again() -> None:
    """A forked process has ids of its own."""
    unused_ids.clear()
    unused_span_ids.clear()
    _random.seed()


os.register_at_fork(after_in_child=_start_again)


class Trace(Struct, eq=False):
    """What one process does for a request or a job. ``span_id`` is its own id, ``parent_id`` that of what caused it.

    ``sampled``: whether it is exported although it is neither slow nor failed. ``db_seconds``: the total duration of
    its queries, also of concurrent ones. ``cache``: "miss" if a cached value or response had to be loaded, "hit" if all
    were found, None if none was read. ``error``: the name of the error's type, if it failed. ``room``: how many more
    spans fit. ``dropped``: how many did not. ``deadline``: when the request is cancelled (``time.perf_counter``); 0 for
    what has no such end, and once the response has started.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = False
    request_id: str | None = None
    tracestate: str = ""
    spans: list[Span] = []
    dropped: int = 0
    db_seconds: float = 0.0
    cache: Literal["hit", "miss"] | None = None
    error: str | None = None
    room: int = MAX_SPANS
    deadline: float = 0.0

    def add(
        self,
        name: str,
        kind: Kind,
        began: float,
        ended: float,
        error: str | None,
        parent_id: str,
        span_id: str = "",
        attributes: dict[str, Any] | None = None,
    ) -> None:
        if self.room > 0:
            self.room -= 1
            self.spans.append((name, kind, began, ended, error, parent_id, span_id, attributes))
        else:
            self.dropped += 1

    def enclose(self, name: str, kind: Kind, began: float, first: int, error: str | None = None) -> None:
        """Add a span around the spans that were added since there were ``first``, unless it is fast and has none.

        Nothing else of the trace may run meanwhile.
        """
        ended = perf_counter()
        if ended - began < FAST_SECONDS and error is None and len(self.spans) == first:
            return
        inner = self.spans[first:]
        span_id = new_span_id()
        self.spans[first:] = [(*span[:5], span_id, *span[6:]) if span[5] == self.span_id else span for span in inner]
        self.add(name, kind, began, ended, error, self.span_id, span_id)


Active = tuple[Trace, str, dict[str, int] | None]
current: Final[ContextVar[Active | None]] = ContextVar("trace", default=None)
"""The trace of this task, the id of the span it is in, and how often each query ran, unless queries are not counted.

Tasks that it starts inherit all three.
"""


def new_ids() -> tuple[str, str]:
    """A random trace id, and the id of its first span, which is the second half of it."""
    if not unused_ids:
        unused_ids.extend([(trace_id, trace_id[16:]) for trace_id in _random_ids(16)])
    return unused_ids.pop()


def new_span_id() -> str:
    if not unused_span_ids:
        unused_span_ids.extend(_random_ids(8))
    return unused_span_ids.pop()


def _random_ids(size: int) -> list[str]:
    return _random.randbytes(_BATCH * size).hex(" ", size).split(" ")  # faster than split()


def is_chosen(rate: float) -> bool:
    """Whether this one of all requests is sampled. Independent of the ids, which a client may choose."""
    return _random.random() < rate


def parse_traceparent(sent: bytes) -> tuple[str, str, bool] | None:
    """The trace id, the span id and whether the caller sampled it; None if it is invalid (W3C Trace Context 3.2.2)."""
    if sent.translate(_SHAPE) != _VALID:  # a regular expression takes twice as long
        known, more = sent[:_LENGTH], sent[_LENGTH:]
        return parse_traceparent(known) if more.startswith(b"-") and not known.startswith(b"00") else None
    text = sent.decode("ascii")
    trace_id, span_id = text[3:35], text[36:52]
    if trace_id == _NO_TRACE_ID or span_id == _NO_SPAN_ID or text[:2] == "ff":
        return None
    return trace_id, span_id, text[54] in _ODD_DIGITS


def traceparent() -> str | None:
    """The current span as a traceparent, version 00; None outside a trace."""
    active = current.get()
    return _traceparent_of(active[0], active[1]) if active is not None else None


def _traceparent_of(trace: Trace, span_id: str) -> str:
    return f"00-{trace.trace_id}-{span_id}-{'01' if trace.sampled else '00'}"


def remaining_seconds() -> float | None:
    """The time until the request of this task is cancelled, for the deadlines of its calls; None if it has no end."""
    active = current.get()
    if active is None or not active[0].deadline:
        return None
    return max(0.0, active[0].deadline - perf_counter())


def current_request_id() -> str | None:
    """The id of the request that this task works for, also of the one that has enqueued its job."""
    active = current.get()
    return active[0].request_id if active is not None else None


def note_cache(result: Literal["hit", "miss"]) -> None:
    """Note that a cached value was found, or had to be loaded."""
    active = current.get()
    if active is not None and active[0].cache != "miss":
        active[0].cache = result


def note_error(error: BaseException) -> None:
    """Note why the request failed."""
    active = current.get()
    if active is not None:
        active[0].error = type(error).__name__


class span:  # noqa: N801  # used as a function: with span("name", "internal")
    """Around anything that takes time. Spans inside it are below it. Does nothing outside a trace.

    ``headers`` are those of a request to another service, which then continues the trace. ``attributes`` may be changed
    until the end.
    """

    __slots__ = ("_active", "_began", "_kind", "_name", "_span_id", "attributes")

    def __init__(self, name: str, kind: Kind, attributes: dict[str, Any] | None = None) -> None:
        self._name = name
        self._kind = kind
        self.attributes = attributes if attributes is not None else {}

    def __enter__(self) -> Self:
        self._active = active = current.get()
        if active is not None:
            self._span_id = new_span_id()
            current.set((active[0], self._span_id, active[2]))
            self._began = perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        active = self._active
        if active is not None:
            current.set(active)
            failure = type(error).__name__ if error is not None else None
            trace, parent_id, _ = active
            trace.add(
                self._name,
                self._kind,
                self._began,
                perf_counter(),
                failure,
                parent_id,
                self._span_id,
                self.attributes,
            )

    @property
    def headers(self) -> dict[str, str]:
        if self._active is None:
            return {}
        trace = self._active[0]
        headers = {"traceparent": _traceparent_of(trace, self._span_id)}
        return headers | {"tracestate": trace.tracestate} if trace.tracestate else headers


def http_span(method: str, url: str) -> span:
    """Around a request to another service. Send its ``headers``, and set ``attributes["status"]``.

    Of the URL only host and port are recorded: path and query may contain secrets.
    """
    if current.get() is None:
        return span(method, "http")
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return span(f"{method} {host}", "http", {"method": method, "host": host, "port": port})


def add_ids(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A processor of structlog: adds the ids of the request or job to its log lines."""
    active = current.get()
    if active is not None:
        trace, span_id, _ = active
        if trace.request_id is not None:
            event.setdefault("request_id", trace.request_id)
        event.setdefault("trace_id", trace.trace_id)
        event.setdefault("span_id", span_id)
    return event
