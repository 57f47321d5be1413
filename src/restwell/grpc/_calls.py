"""A call between the library and the edge: its metadata as header fields, and the response as a status of gRPC."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import grpc
import msgspec
from grpc_status import rpc_status

from restwell.edge._context import AsgiApp, Message, Scope
from restwell.errors import Problem
from restwell.grpc._status import code_of, status_of

Context = grpc.aio.ServicerContext[bytes, bytes]
CALL_KEY: Final = "restwell.grpc"
"""The key of the Call in the ASGI scope."""
_LEFT_OUT: Final = frozenset({"cookie"})
"""A browser sends cookies by itself, and checks no origin for another protocol."""
_NOT_SENT: Final = frozenset({b"content-type", b"content-length", b"connection"})


class Call:
    """The ``send`` of the edge for one call. ``problem``: why it failed."""

    __slots__ = ("_body", "_context", "_is_stream", "_service", "headers", "problem", "status")

    def __init__(self, context: Context, *, is_stream: bool) -> None:
        self._context = context
        self._is_stream = is_stream
        self._body = b""
        self._service = ""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.problem: Problem | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return code_of(self.status, self.problem.code if self.problem is not None else "")

    @property
    def has_timed_out(self) -> bool:
        """Whether the client's deadline has passed."""
        remaining = self.remaining_seconds
        return remaining is not None and remaining <= 0

    @property
    def remaining_seconds(self) -> float | None:
        """The time until the client's deadline. None without one."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    async def run(self, edge: AsgiApp, path: str, data: bytes) -> bytes:
        """The response; empty for a stream, which is written. Ends the call with the status of a failure."""
        self._service = path[1:].partition("/")[0]
        await edge(self._scope(path), _body_of(data), self._send)
        if not self.status:
            raise asyncio.CancelledError  # the edge has ended it because its client has
        fields = [(name.decode(), value.decode("latin-1")) for name, value in self.headers if name not in _NOT_SENT]
        self._context.set_trailing_metadata(tuple(fields))
        if self.problem is not None:
            await self.fail(self.problem, dict(fields))
        return self._body

    async def fail(self, problem: Problem, fields: dict[str, str]) -> None:
        """End the call. Raises AbortError of the library."""
        status = rpc_status.to_status(status_of(problem, self._service, fields.get("retry-after")))
        metadata = (*fields.items(), *(status.trailing_metadata or ()))
        await self._context.abort(status.code, status.details or "", metadata)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            return
        body = message["body"]
        if self.status >= 400:
            self.problem = msgspec.json.decode(body, type=Problem)
        elif not self._is_stream:
            self._body = body
        elif message.get("more_body"):
            await self._context.write(body)

    def _scope(self, path: str) -> Scope:
        return {
            "type": "http",
            "method": "POST",
            "path": path,
            "scheme": "grpc",
            "query_string": b"",
            "client": client_address(self._context.peer()),
            "headers": _fields(self._context.invocation_metadata() or ()),
            CALL_KEY: self,
        }


def _fields(metadata: Iterable[Any]) -> list[tuple[bytes, bytes]]:
    """Header fields. Repeated ones are joined, so that two credentials are none. Binary values are left out."""
    found: dict[str, str] = {}
    for name, value in metadata:
        if isinstance(value, str) and name not in _LEFT_OUT:
            found[name] = f"{found[name]}, {value}" if name in found else value
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found.items()]


def client_address(peer: str) -> tuple[str, int] | None:
    """The address in ``ipv4:127.0.0.1:5`` or ``ipv6:%5B::1%5D:5``."""
    family, _, address = peer.partition(":")
    if family not in {"ipv4", "ipv6"}:
        return None
    host, _, port = address.replace("%5B", "").replace("%5D", "").replace("[", "").replace("]", "").rpartition(":")
    return host, int(port)


def _body_of(data: bytes) -> Any:
    """The ``receive`` of the edge. The library cancels the task of a call whose client is gone."""
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            await asyncio.get_running_loop().create_future()
        is_read = True
        return {"type": "http.request", "body": data, "more_body": False}

    return receive
