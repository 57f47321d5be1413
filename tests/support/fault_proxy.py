"""A TCP proxy that injects network faults: latency, black holes, resets and lost answers. It also balances load."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FaultProxy:
    """Forwards bytes between clients and the ports ``targets``, one after the other for each connection."""

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self._connections = itertools.count()
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.delay_seconds = 0.0
        self.answers_to_lose = 0
        """Instead of the next answers, their connections are reset. The target has done what it was asked."""
        self.accepted = 0
        self.port = 0

    def swallow(self) -> None:
        """Become a black hole: connections stay open and new ones are accepted, but no bytes are forwarded."""
        self._flowing.clear()

    def heal(self) -> None:
        """End a black hole: old connections are reset, new ones work."""
        self.hang_up()
        self._flowing.set()

    def hang_up(self) -> None:
        """Reset every connection."""
        for stream in self._streams:
            stream.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._streams.add(writer)
        try:
            await self._flowing.wait()
            target = self.targets[next(self._connections) % len(self.targets)]
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", target)
            self._streams.add(upstream)
            await asyncio.gather(self._pass(reader, upstream), self._pass(upstream_reader, writer, answers=True))
            self._streams.discard(upstream)
        except OSError:
            writer.transport.abort()
        finally:
            self._streams.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        try:
            while data := await reader.read(65_536):
                if answers and self.answers_to_lose > 0:
                    self.answers_to_lose -= 1
                    raise ConnectionResetError
                await asyncio.sleep(self.delay_seconds)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self) -> None:
        self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def fault_proxy(*targets: int) -> AsyncIterator[FaultProxy]:
    """A proxy to local ports, initially without faults."""
    proxy = FaultProxy(*targets)
    server = await proxy.run()
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
