"""A TCP proxy on loopback that injects network faults."""

import asyncio
import itertools
import socket
import struct
from contextlib import suppress
from typing import Final, Self

_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Of SO_LINGER: a connection that is closed is reset."""


class FaultProxy:
    """Forwards connections to the local ports ``targets``, to one after the other: ``async with FaultProxy(5432)``.

    It listens on ``port``, at first without faults. ``delay_seconds`` delays each read of bytes, in both directions.
    Instead of the next ``responses_to_lose`` responses it resets their connections: the target has done what it was
    asked to do. ``accepted`` counts the connections.
    """

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.port = 0
        self.delay_seconds = 0.0
        self.responses_to_lose = 0
        self.accepted = 0
        self._connections = itertools.count()
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Forward no bytes, as a network black hole: connections stay open, and new ones are accepted."""
        self._flowing.clear()

    def resume(self) -> None:
        """End a stall: connections that were open are reset, and new ones work."""
        self.reset()
        self._flowing.set()

    def reset(self) -> None:
        """Reset every connection."""
        for stream in self._streams:
            _reset(stream)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._streams.add(writer)  # here, because a task that is cancelled at once does not begin
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._flowing.wait()
            target = self.targets[next(self._connections) % len(self.targets)]
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", target)
            self._streams.add(upstream)
            await asyncio.gather(
                self._forward(reader, upstream), self._forward(upstream_reader, writer, are_responses=True)
            )
            self._streams.discard(upstream)
        except OSError:
            _reset(writer)
        finally:
            self._streams.discard(writer)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, are_responses: bool = False
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if are_responses and self.responses_to_lose > 0:
                    self.responses_to_lose -= 1
                    raise ConnectionResetError
                await asyncio.sleep(self.delay_seconds)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            _reset(writer)
        finally:
            writer.close()


def _reset(stream: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # closed already
        stream.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    stream.transport.abort()
