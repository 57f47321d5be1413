"""The server: an own port of the worker process. Each call passes the hooks of the edge that concern every protocol."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from functools import partial
from http import HTTPStatus
from time import perf_counter, time
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell import _api_version
from restwell.database import Database
from restwell.edge._access_log import AccessLog
from restwell.edge._client_address import ClientAddress
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import Hook, Receive, RequestContext, Scope, Send, request_context
from restwell.edge._deadline import CLIENT_CLOSED_REQUEST, Deadlines
from restwell.edge._drain import Drain
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimit, client_key
from restwell.edge._request_id import RequestId
from restwell.edge._request_metrics import CALL_DURATION, OTHER_METHOD, RequestMetrics
from restwell.edge._routing import Routing
from restwell.edge._tracing import CurrentTrace, Tracing
from restwell.errors import AppError, MethodNotAllowed, ServiceUnavailable
from restwell.grpc._calls import CALL_KEY, Call, Context, client_address
from restwell.grpc._methods import Method, Replayed, compile_method, declared_methods
from restwell.grpc._status import code_of
from restwell.grpc._tls import tls_credentials
from restwell.observability._metric_families import Histogram, TraceExample, define_gauge
from restwell.observability._trace import current
from restwell.settings import Settings
from restwell.web import Request
from restwell.web._declarations import Guard, Handler
from restwell.web._dispatch import admit, expected_error
from restwell.web._endpoint import Endpoint
from restwell.web._guarded_streams import OpenStreams, client_of, guarded
from restwell.web._parameters import FindService
from restwell.web._query_budget import QueryBudget
from restwell.web._read_your_writes import ReadYourWrites
from restwell.web._transports import ListeningTransport, Operation

log = structlog.get_logger("restwell.grpc")

CONNECTION_AGE_SECONDS: Final = 600
"""Then a client connects again, perhaps to another worker: a connection stays in the worker that accepted it."""
MAX_METADATA_BYTES: Final = 32_768
GRACE_SECONDS: Final = 20.0
"""How long calls may take to finish when the server stops, at most."""
CHECK_SECONDS: Final = 15.0
"""After this time without a message the guards of a stream run again."""
STREAMS: Final = define_gauge("restwell_grpc_streams", "Open streams of gRPC.")
_SHARED: Final = (
    *(AccessLog, RequestId, Tracing, ClientAddress, RateLimit, CurrentTrace, QueryBudget, ReadYourWrites, Deadlines),
    ConcurrencyLimiter,
)
"""The hooks of the edge that do not depend on HTTP."""


class TooManyStreams(AppError):
    """The client has as many open streams as it may."""

    code, status, message = "too_many_streams", 429, "You have too many open streams. Close one of them."


class GrpcServer(ListeningTransport, Collector):
    """The services of an application on their port: ``app.service(GrpcServer)``. ``port``: 0 until it listens."""

    def __init__(
        self,
        services: Sequence[type],
        *,
        streams: int,
        streams_per_client: int,
        database: Database,
        settings: Settings,
    ) -> None:
        self._declared = declared_methods(services)
        self._database = database
        self._settings = settings
        self._rate_limit: RateLimit | None = None
        self.methods: dict[str, Method] = {}
        self._series: dict[tuple[str, str], Histogram] = {}
        self._edge: Edge
        self._server: Any = None
        self._credentials: Any = None
        self._streams = OpenStreams(of_process=streams, of_client=streams_per_client, refusal=TooManyStreams)
        self._ended_by_close: set[asyncio.Task[Any]] = set()
        self._is_stopping = False
        self.port = 0

    @property
    def handlers(self) -> Sequence[Handler | str]:
        return [each.rpc.handler for each in self._declared]

    def open(self, endpoints: Sequence[Endpoint], find_service: FindService, rate_limit: RateLimit | None) -> None:  # noqa: ARG002  # the signature of Transport
        self._rate_limit = rate_limit
        for declared, endpoint in zip(self._declared, endpoints, strict=True):
            self.methods[declared.path] = compile_method(declared, endpoint, self._database)
        self.operations = [each.operation for each in self.methods.values()]

    def sample(self, operation: Operation) -> object:  # noqa: ARG002  # as above
        return None

    def endpoint_of(self, operation: Operation) -> Endpoint:
        return self.methods[operation.name].endpoint

    def collect(self) -> Iterator[Metric]:
        yield CALL_DURATION.histogram(self._series.items())
        yield STREAMS.family(self._streams.count)

    async def start(self, edge: Edge) -> None:
        self.edge = self._edge = Edge(self._run, list(self._hooks_of(edge)))
        if self._settings.grpc.port is None:
            return
        self._is_stopping = False
        checks = _Health(self._stream_of)
        server = self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", self._settings.request.max_bytes),
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS * 1_000),
            ]
        )
        services = dict.fromkeys(each.descriptor.containing_service.full_name for each in self._declared)
        names = [health.SERVICE_NAME, *services]
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        if self._settings.has_reflection:
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
        server.add_generic_rpc_handlers((_Handlers(self),))
        host = self._settings.host
        address = f"{f'[{host}]' if ':' in host else host}:{self._settings.grpc.port}"
        credentials = self._credentials = tls_credentials(self._settings.grpc)
        self.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        await server.start()
        for name in names:
            await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
        edge.hook(Drain).on_begin.append(lambda: asyncio.ensure_future(checks.enter_graceful_shutdown()))
        log.info("grpc_serving", address=f"{host}:{self.port}")

    async def close(self) -> None:
        """Refuse new calls, end the streams, which their clients open at another server, and finish the other calls."""
        if self._server is None:
            return
        server, self._server = self._server, None
        self._is_stopping = True
        stopped = asyncio.ensure_future(server.stop(min(GRACE_SECONDS, self._settings.request.timeout_seconds)))
        await asyncio.sleep(0)  # it refuses calls now
        for task in list(self._ended_by_close):
            task.cancel()
        await stopped

    def _hooks_of(self, edge: Edge) -> Iterator[Hook]:
        for hook in edge.hooks:
            if isinstance(hook, RequestMetrics):
                yield _CallMetrics(self._series)
            elif isinstance(hook, Routing):
                yield _MethodRouting(self.methods)
            elif isinstance(hook, _SHARED):
                yield hook

    async def unary(self, path: str, data: bytes, context: Context) -> bytes:
        return await Call(context, is_stream=False).run(self._edge, path, data)

    async def stream(self, path: str, data: bytes, context: Context) -> None:
        with self._until_close():
            await Call(context, is_stream=True).run(self._edge, path, data)

    @contextmanager
    def _until_close(self) -> Iterator[None]:
        """The task of a stream, which ends when the server stops."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must run in a task")
        self._ended_by_close.add(task)
        try:
            yield
        finally:
            self._ended_by_close.discard(task)

    @contextmanager
    def _stream_of(self, context: Context) -> Iterator[None]:
        """A stream that is no method of the application, of the network of its client. Raises an AppError."""
        with self._until_close(), self._streams.place(client_key({"client": client_address(context.peer())})):
            yield

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application inside the edge."""
        context = request_context(scope)
        method = self.methods.get(scope["path"])
        if method is None:
            raise MethodNotAllowed("The server has no such method.")
        _shorten_deadline(context, scope.get(CALL_KEY))
        endpoint = method.endpoint
        _api_version.current.set(endpoint.version)
        request = Request(scope, receive, context, max_body_bytes=endpoint.max_body_bytes, auth=endpoint.auth)
        try:
            if endpoint.has_guards:
                await admit(endpoint, request, self._rate_limit)
            body = await request.body()
            if method.is_stream:
                with self._streams.place(client_of(request)):
                    await self._send_stream(request, endpoint.guards, await method.call(request, body), send)
                return
            result = await method.call(request, body)
        except asyncio.CancelledError:
            if not context.timed_out and not context.status:
                context.status = _cancelled_status(scope)
            raise
        except Exception as error:
            raise expected_error(error, scope["path"]) from error
        headers: list[tuple[bytes, bytes]] = []
        if isinstance(result, Replayed):
            headers, result = list(result.headers), result.body
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": result})

    async def _send_stream(
        self, request: Request, guards: Sequence[Guard], results: AsyncGenerator[bytes, None], send: Send
    ) -> None:
        """A failure after the start is the status of the call too. So is the end of the caller's session."""
        scope, context = request.scope, request.context
        call: Call = scope[CALL_KEY]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        current.set(None)  # a stream may repeat its reads: they are no N+1, and no part of the trace
        error: AppError | None = None
        try:
            async with aclosing(guarded(results, request, guards, CHECK_SECONDS)) as messages:
                async for some in messages:
                    for each in some:
                        await send({"type": "http.response.body", "body": each, "more_body": True})
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_stopping or task is None:
                context.status = _cancelled_status(scope)
                raise
            task.uncancel()
            error = ServiceUnavailable("The server stops. Open the stream again.")
        except Exception as raised:  # noqa: BLE001  # each gets a status
            error = expected_error(raised, scope["path"])
        if error is not None:
            call.status, call.problem = error.status, error.problem(context.request_id)
            if not self._is_stopping:
                context.status = error.status


def _shorten_deadline(context: RequestContext, call: Call | None) -> None:
    """What the handler calls has no more time than the client gives this call."""
    remaining = call.remaining_seconds if call is not None else None
    if remaining is not None and context.trace is not None:
        context.trace.deadline = min(context.trace.deadline, perf_counter() + remaining)


def _cancelled_status(scope: Scope) -> int:
    """The status of a call that its client has ended, or that has exceeded the client's deadline."""
    call: Call | None = scope.get(CALL_KEY)
    return HTTPStatus.GATEWAY_TIMEOUT if call is not None and call.has_timed_out else CLIENT_CLOSED_REQUEST


class _MethodRouting(Hook):
    """Sets the route of the context: the endpoint of the method."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods

    def admit(self, context: RequestContext) -> None:
        method = self._methods.get(context.scope["path"])
        if method is not None:
            context.route = method.endpoint
            context.scope["path_template"] = method.endpoint.path


class _CallMetrics(Hook):
    """Calls of a method that does not exist have the method "_OTHER", as OpenTelemetry names it."""

    def __init__(self, series: dict[tuple[str, str], Histogram]) -> None:
        self._series = series

    def after(self, context: RequestContext) -> None:
        call: Call | None = context.scope.get(CALL_KEY)
        code = call.code if call is not None and call.problem is not None else code_of(context.status)
        key = (context.route.path[1:] if context.route is not None else OTHER_METHOD, code.name)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Histogram(CALL_DURATION.bounds)
        seconds = context.ended_at - context.started_at
        series.observe(seconds)
        trace = context.trace
        if trace is not None and trace.sampled:
            series.examples[bisect_left(CALL_DURATION.bounds, seconds)] = TraceExample(trace.trace_id, seconds, time())


class _Handlers(grpc.GenericRpcHandler):
    """The last handler: it also takes calls of methods that do not exist, so that they are logged and counted."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server
        self._known = {path: self._handler(path) for path in server.methods}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        return self._known.get(path) or self._handler(path)

    def _handler(self, path: str) -> Any:
        method, server = self._server.methods.get(path), self._server
        if method is not None and method.is_stream:
            return grpc.unary_stream_rpc_method_handler(partial(server.stream, path))
        return grpc.unary_unary_rpc_method_handler(partial(server.unary, path))


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # the library has no types
    """The library's. Its streams are limited as others, and end when the server stops."""

    def __init__(self, stream_of: Callable[[Context], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._stream_of = stream_of

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802  # of the library
        try:
            with self._stream_of(context):
                await super().Watch(request, context)
        except AppError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.detail)
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The server stops.")
