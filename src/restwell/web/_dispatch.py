"""Runs a route: guards, rate limit, parameters, handler, response."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell import _api_version
from restwell._host import Host
from restwell.database import Database
from restwell.edge._context import SCOPE_KEY, Headers, Receive, RequestContext, Scope, Send
from restwell.edge._context import Response as RawResponse
from restwell.edge._deadline import RequestBody
from restwell.edge._drain import Drain
from restwell.edge._problem import error_response
from restwell.edge._rate_limit import RateLimit
from restwell.edge._router import Router
from restwell.errors import AppError, ErrorFormat, MethodNotAllowed, NotFound
from restwell.idempotency import REPLAYED_HEADER
from restwell.observability._metric_families import define_counter
from restwell.observability._trace import note_error
from restwell.pages import Page
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._idempotent import call_once
from restwell.web._links import absolute_path, next_page
from restwell.web._request import JSON, Request
from restwell.web._responses import Response, Stream, header_field

log = structlog.get_logger("restwell.problems")

EVENT_STREAM: Final = "text/event-stream"
_WITHOUT_BODY: Final = frozenset({204, 304})
_OWN_FIELDS: Final = frozenset({b"content-length", b"content-type"})
_JSON_FIELD: Final = (b"content-type", JSON.encode())
_parameter: Final = re.compile(r"\{[^}]*\}")


IDEMPOTENCY_REPLAYS: Final = define_counter(
    "restwell_idempotency_replays_total",
    "Requests answered with the stored response of an earlier one with the same Idempotency-Key.",
    "method",
    "route",
)


class Dispatcher(Collector):
    """The ASGI application inside the edge, which has found the route of the request.

    It runs the route itself unless the host has a reason to see it first. ``framework`` is the application of the host,
    which also gets every request for a path without a route.

    Raises TypeError if the host has a handler for the path of a route: it would never be called.
    """

    def __init__(
        self,
        router: Router[Any],
        database: Database,
        rate_limit: RateLimit | None,
        drain: Drain,
        errors: ErrorFormat,
        host: Host | None = None,
    ) -> None:
        hosted = host.application(self.run, errors) if host is not None else None
        self.framework = hosted.app if hosted is not None else None
        self._is_direct = host is None or host.reason is None
        self._router = router
        self._database = database
        self._rate_limit = rate_limit
        self._drain = drain
        self._event_streams: set[asyncio.Task[None]] = set()
        drain.on_begin.append(self._end_event_streams)
        self._errors = errors
        self._replays: Counter[tuple[str, str]] = Counter()
        for path in hosted.paths if hosted is not None else ():
            if router.allowed(_parameter.sub("1", path)) is not None:
                raise TypeError(f"a route of the kit has the path of the host's handler {path}: change one of them")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        framework = self.framework
        if framework is not None and not (
            self._is_direct if scope[SCOPE_KEY].route is not None else self._router.allowed(scope["path"])
        ):
            await framework(scope, receive, send)
        else:
            await self.run(scope, receive, send)

    def collect(self) -> Iterator[Metric]:
        yield IDEMPOTENCY_REPLAYS.family(self._replays)

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the route of the request, or respond that there is none."""
        context: RequestContext = scope[SCOPE_KEY]
        endpoint: Any = context.route
        if endpoint is None:
            await _send(error_response(self._unknown(scope["path"]), context.request_id, self._errors), send)
            return
        _api_version.current.set(endpoint.version)
        try:
            result = await self._call(
                endpoint, Request(scope, receive, context, max_body_bytes=endpoint.max_body_bytes, auth=endpoint.auth)
            )
            if isinstance(result, Stream):
                await self._send_stream(result, endpoint.status_code, context, send)
                return
            response = encode(endpoint, scope, result)
        except Exception as error:  # every exception becomes an error response
            if context.status:
                raise
            response = error_response(expected_error(error, scope["path"]), context.request_id, endpoint.errors)
        await _send(response, send)

    async def _call(self, endpoint: Endpoint, request: Request) -> Any:
        if endpoint.has_guards:
            await admit(endpoint, request, self._rate_limit)
        parameters = endpoint.parameters
        values = {name: read(request) for name, read in parameters.read.items()}
        if parameters.read_body is not None:
            name, read_body = parameters.read_body
            values[name] = await read_body(request)
        if endpoint.idempotent:
            response = await call_once(self._database, endpoint, request, values, encode)
            if REPLAYED_HEADER in response.headers:
                self._replays[endpoint.method, endpoint.path] += 1
            return response
        return await endpoint.handler(**values)

    async def _send_stream(self, stream: Stream[Any], status: int, context: RequestContext, send: Send) -> None:
        """Send the chunks, until the client disconnects. An event stream ends when the process drains."""
        headers = [header_field(name, value) for name, value in stream.headers.items()]
        headers.append(header_field("content-type", stream.media_type))
        if context.method == "HEAD":
            await _send((status, headers, b""), send)
            return
        chunks = stream.open()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        sending = asyncio.create_task(_send_chunks(chunks, send))
        body = context.receive
        is_read = not isinstance(body, RequestBody) or body.is_complete  # else the generator may read it
        leaving = asyncio.create_task(_wait_for_disconnect(body) if is_read else asyncio.Event().wait())
        if stream.media_type.startswith(EVENT_STREAM):
            context.stream_started_at = perf_counter()
            self._event_streams.add(sending)
            sending.add_done_callback(self._event_streams.discard)
            if self._drain.is_draining:
                sending.cancel()
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            has_left = leaving.done()
            leaving.cancel()
            sending.cancel()
            await asyncio.wait({sending})
        if not sending.cancelled():
            sending.result()
        if not has_left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _end_event_streams(self) -> None:
        for sending in self._event_streams:
            sending.cancel()

    def _unknown(self, path: str) -> AppError:
        methods = self._router.allowed(path)
        return MethodNotAllowed(headers={"allow": methods}) if methods else NotFound()


async def admit(endpoint: Endpoint, request: Request, rate_limit: RateLimit | None) -> None:
    """Run the guards, then count the request, also if a guard rejects it."""
    limit = rate_limit if endpoint.rate is not None else None
    trace = request.context.trace
    began, first = perf_counter(), len(trace.spans) if trace is not None else 0
    try:
        for guard in endpoint.guards:
            await guard(request)
    except Exception as error:
        if trace is not None:
            trace.enclose("guards", "guard", began, first, type(error).__name__)
        if limit is not None:
            await limit.count(request.context)
        raise
    if trace is not None:
        trace.enclose("guards", "guard", began, first)
    if limit is not None:
        await limit.count(request.context)


def encode(endpoint: Endpoint, scope: Scope, result: Any) -> RawResponse:
    """The response to the result of a handler."""
    content, status, media_type = result, endpoint.status_code, endpoint.media_type
    headers: Headers = []
    if isinstance(result, Response):
        content, status = result.content, result.status_code or status
        media_type = result.media_type or media_type
        headers = [header_field(name, value) for name, value in result.headers.items()]
        if not _OWN_FIELDS.isdisjoint(name for name, _ in headers):
            raise ValueError(f"{endpoint.name} sets content-length, content-type or both; use media_type= for the type")
        if result.location is not None:
            headers.append(header_field("location", absolute_path(scope["path"], result.location)))
        headers += (header_field("set-cookie", cookie.header()) for cookie in result.cookies)
    if endpoint.is_page and isinstance(content, Page):
        content = _page(endpoint, scope, content, headers)
    if status in _WITHOUT_BODY:
        return status, headers, b""
    if content is None:
        body = _nothing(endpoint)
    else:
        if isinstance(content, bytes):
            body = content
        elif isinstance(content, str) and media_type != JSON:
            body = content.encode()
            if media_type.startswith("text/") and "charset" not in media_type:
                media_type += "; charset=utf-8"
        else:
            body = _json(endpoint, content)
        headers.append(header_field("content-type", media_type) if media_type != JSON else _JSON_FIELD)
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, body


def _json(endpoint: Endpoint, content: Any) -> bytes:
    try:
        return encode_json(content)
    except NotImplementedError as error:
        raise TypeError(f"{endpoint.name} ({endpoint.method} {endpoint.path}): {error}") from error


def _nothing(endpoint: Endpoint) -> bytes:
    """The body of None. Raises TypeError if the handler does not declare it."""
    if endpoint.may_be_none:
        return b""
    declared = " or ".join(getattr(each, "__name__", str(each)) for each in endpoint.returns)
    raise TypeError(
        f"{endpoint.name} ({endpoint.method} {endpoint.path}): it returned None and declares {declared}:"
        " return one, raise NotFound, or declare None too"
    )


def _page(endpoint: Endpoint, scope: Scope, page: Page[Any], headers: Headers) -> Any:
    """The page as the version of the endpoint has it. Adds the Link to the next one."""
    following = next_page(scope, page.next_cursor) if page.next_cursor is not None else None
    if following is not None:
        headers.append((b"link", f'<{following}>; rel="next"'.encode("ascii")))
    return endpoint.page(page.items, following) if endpoint.page is not None else page


def expected_error(error: Exception, path: str) -> AppError:
    """Return an AppError as it is, and an internal error for any other exception, which is logged.

    Its details are not sent to the client.
    """
    if isinstance(error, AppError):
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            note_error(error)
            log.warning("dependency_unavailable", code=error.code, cause=repr(error.__cause__))
        return error
    note_error(error)
    log.error("unhandled_exception", path=path, exc_info=error)
    return AppError()


async def _send(response: RawResponse, send: Send) -> None:
    status, headers, body = response
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_chunks(chunks: AsyncIterator[bytes], send: Send) -> None:
    """A generator is closed at once, also if the task is cancelled in between."""
    try:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
