"""An open-loop load generator: requests at a fixed rate, whether or not earlier requests have been answered."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from msgspec import Struct

TICK_SECONDS: Final = 0.004


class LoadResult(Struct, frozen=True):
    status: int
    seconds: float
    retry_after: bool


class _Connection(asyncio.Protocol):
    """Sequential requests on one connection. Responses are small and have a Content-Length."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._began = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            self._load.response_received(
                self, int(head[9:12]), time.perf_counter() - self._began, retry_after=b"retry-after" in lower
            )

    def connection_lost(self, _error: Exception | None) -> None:
        if self._load.is_open:
            self._load.lost()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Load:
    """``request`` returns the next request.

    A request without a free connection is not sent, and counted as ``missed``.
    """

    def __init__(self, port: int, request: Callable[[], bytes]) -> None:
        self._port = port
        self._request = request
        self._free: deque[_Connection] = deque()
        self._all: list[_Connection] = []
        self.results: list[LoadResult] = []
        self.missed = self.broken = 0
        self.is_open = True

    async def connect(self, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            self._free.append(connection)
            self._all.append(connection)

    async def run(self, per_second: float, seconds: float) -> list[LoadResult]:
        """Send requests at the rate, then wait for the remaining responses."""
        self.results = []
        began, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < seconds:
            for _ in range(int(passed * per_second) - sent):
                sent += 1
                if self._free:
                    self._free.popleft().send(self._request())
                else:
                    self.missed += 1
            await asyncio.sleep(TICK_SECONDS)
        deadline = time.perf_counter() + 5
        while len(self._free) + self.broken < len(self._all) and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        return self.results

    async def run_closed(self, concurrency: int, seconds: float) -> list[LoadResult]:
        """A closed loop: each of ``concurrency`` connections sends its next request after the previous response."""
        self.results = []
        self._closed_until = time.perf_counter() + seconds
        for _ in range(concurrency):
            self._free.popleft().send(self._request())
        await asyncio.sleep(seconds + 0.5)
        self._closed_until = 0.0
        return self.results

    _closed_until = 0.0

    def response_received(self, connection: _Connection, status: int, seconds: float, *, retry_after: bool) -> None:
        self.results.append(LoadResult(status, seconds, retry_after))
        if time.perf_counter() < self._closed_until:
            connection.send(self._request())
        else:
            self._free.append(connection)

    def lost(self) -> None:
        self.broken += 1

    def close(self) -> None:
        self.is_open = False
        for connection in self._all:
            connection.close()
