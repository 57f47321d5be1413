"""Calls of another service: they end with the request, continue its trace, and fail at once while it is down."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import grpc
import structlog
from google.protobuf.message import Message

from restwell._circuit_breaker import CircuitBreaker
from restwell.errors import AppError, ServiceUnavailable
from restwell.grpc._status import problem_of
from restwell.observability._trace import remaining_seconds, span

log = structlog.get_logger("restwell.grpc")

_BALANCED: Final = '"loadBalancingConfig": [{"round_robin": {}}]'
_REPEATED: Final = (
    '"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s",'
    ' "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]'
)
_OPTIONS: Final = tuple(
    (f"grpc.{name}_reconnect_backoff_ms", milliseconds)
    for name, milliseconds in (("initial", 100), ("min", 1_000), ("max", 1_000))
)
"""A service that is back is found within a second. ``min`` is also how long a connection may take."""
_DOWN: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What the circuit breaker counts. After other failures the service is up."""


class GrpcClient:
    """A client of a generated stub: ``await client.call("ReserveStock", message)``.

    ``url``: ``grpc://token@host:port``, or ``grpcs://`` for TLS. The token, an API key for example, may be left out.
    ``errors``: the problems of the service that ``call`` raises as they are; any other failure is ServiceUnavailable,
    also while the circuit breaker is open: after five failures in succession, for all but one call a second.
    ``idempotent``: each method may be called again, so a call that was lost or refused is repeated up to three times.

    A call ends after ``timeout_seconds``, or when the request of its task would be cancelled, if that is earlier: the
    service gets what remains as its deadline. It connects at the first call; ``close`` disconnects.
    """

    def __init__(
        self,
        stub: Callable[[Any], Any],
        url: str,
        *,
        timeout_seconds: float = 2.5,
        errors: Sequence[type[AppError]] = (),
        idempotent: bool = False,
    ) -> None:
        """Raises ValueError for an invalid URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"grpc", "grpcs"} or not parts.hostname or parts.port is None:
            raise ValueError("must be grpc://token@host:port, or grpcs:// for TLS")
        self._new_stub = stub
        self._target = parts.netloc.rpartition("@")[2]
        self._has_tls = parts.scheme == "grpcs"
        self._metadata = [("authorization", f"Bearer {unquote(parts.username)}")] if parts.username else []
        self._timeout_seconds = timeout_seconds
        self._errors = {each.code: each for each in errors}
        self._config = f"{{{', '.join([_BALANCED, *[_REPEATED] * idempotent])}}}"
        self._breaker = CircuitBreaker(self._target)
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    async def call(self, method: str, request: Message) -> Any:
        """Call a method. Returns its response. Raises one of ``errors``, and ServiceUnavailable."""
        remaining = remaining_seconds()
        seconds = self._timeout_seconds if remaining is None else min(self._timeout_seconds, remaining)
        if not seconds or not self._breaker.allows():
            raise ServiceUnavailable
        with span(f"{method} {self._target}", "internal") as calling:
            metadata = (*self._metadata, *calling.headers.items())
            try:
                response = await getattr(self._connect(), method)(request, timeout=seconds, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise self._failure(method, error) from error
        self._breaker.succeeded()
        return response

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _connect(self) -> Any:
        """The stub. Its channel belongs to the event loop of the process that calls first, and to no fork of it."""
        if self._channel is None:
            options = [*_OPTIONS, ("grpc.service_config", self._config)]
            if self._has_tls:
                self._channel = grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials(), options)
            else:
                self._channel = grpc.aio.insecure_channel(self._target, options)
            self._stub = self._new_stub(self._channel)
        return self._stub

    def _failure(self, method: str, error: grpc.aio.AioRpcError) -> AppError:
        code, fields = problem_of(error)
        if error.code() in _DOWN:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        kind = self._errors.get(code)
        if kind is not None:
            return kind(error.details(), errors=fields)
        log.warning("grpc_call_failed", target=self._target, method=method, code=error.code().name, problem=code)
        return ServiceUnavailable()
