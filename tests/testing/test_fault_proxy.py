"""The proxy forwards bytes, and injects each of its faults into the connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from restwell.testing import FaultProxy

DELAY_SECONDS = 0.05


@asynccontextmanager
async def echo_server(answer: bytes = b"") -> AsyncIterator[int]:
    """The port of a server that returns what it reads, or ``answer``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while read := await reader.read(100):
                writer.write(answer or read)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def call(proxy: FaultProxy) -> bytes:
    """The answer to a new connection, or ``b""`` if it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"ping")
    try:
        return await reader.read(100)
    finally:
        writer.close()


async def test_connections_go_to_one_target_after_the_other() -> None:
    async with echo_server(b"one") as one, echo_server(b"two") as two, FaultProxy(one, two) as proxy:
        assert [await call(proxy) for _ in range(3)] == [b"one", b"two", b"one"]
        assert proxy.accepted == 3


async def test_a_delay_takes_its_time_in_both_directions() -> None:
    """Fails if only requests are delayed."""
    async with echo_server() as port, FaultProxy(port) as proxy:
        proxy.delay_seconds = DELAY_SECONDS
        began = time.monotonic()
        assert await call(proxy) == b"ping"
        assert time.monotonic() - began >= 2 * DELAY_SECONDS


async def test_a_stall_forwards_nothing_and_ends_with_a_reset_of_old_connections() -> None:
    """Fails if connections that were open when the stall ended continue: their client has to connect again."""
    async with echo_server() as port, FaultProxy(port) as proxy:
        proxy.stall()
        stalled = asyncio.create_task(call(proxy))
        while not proxy.accepted:
            await asyncio.sleep(0)
        _, pending = await asyncio.wait({stalled}, timeout=DELAY_SECONDS)
        assert pending
        proxy.resume()
        with pytest.raises(ConnectionResetError):
            await stalled
        assert await call(proxy) == b"ping"


async def test_a_lost_response_is_a_reset_after_the_target_has_done_its_work() -> None:
    """Fails if the request is lost too."""
    async with echo_server() as port, FaultProxy(port) as proxy:
        proxy.responses_to_lose = 1
        with pytest.raises(ConnectionResetError):
            await call(proxy)
        assert (proxy.responses_to_lose, await call(proxy)) == (0, b"ping")


async def test_a_target_that_is_down_is_a_reset() -> None:
    async with echo_server() as port:
        pass
    async with FaultProxy(port) as proxy:
        with pytest.raises(ConnectionResetError):
            await call(proxy)
