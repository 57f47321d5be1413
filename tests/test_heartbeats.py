"""A hung worker is replaced; a busy worker is not, and neither is any worker of a machine that was suspended."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from processes import children_of
from raw_client import send_raw
from restwell._heartbeats import HeartbeatMonitor, send_heartbeats
from restwell.database import Migrations, open_database
from servers import RESTWELL, SUPPORT, Served, serving, wait_until

pytestmark = pytest.mark.integration

HUNG_SECONDS = 2
END_SECONDS = 10
"""A server that waits for a suspended worker takes 30 s."""
OWN, OTHER = os.getpid(), 1


@dataclass
class Server:
    """A server with two workers and slow routes."""

    served: Served
    metrics: Path

    @property
    def main(self) -> int:
        return self.served.process.pid

    @property
    def workers(self) -> set[int]:
        return set(children_of(self.main))

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_until, condition, self.served.process, self.served)

    async def wait_until_both_serve(self) -> None:
        """Wait until two workers have started and 40 connections, of which each gets some, are served."""
        await self.wait_for(lambda: len(self._started()) == 2 and self._serves_all_connections())

    def _started(self) -> list[int]:
        return [worker for worker in self.workers if any(self.metrics.glob(f"{worker}-*.metrics"))]

    def _serves_all_connections(self) -> bool:
        port = int(self.served.url.rpartition(":")[2])
        request = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        return all(b" 200 OK" in send_raw(port, request, 1) for _ in range(40))

    async def request_status(self, path: str) -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            return (await client.get(f"{self.served.url}/v1/slow{path}")).status_code

    async def stop(self) -> None:
        self.served.process.terminate()
        assert await asyncio.to_thread(self.served.process.wait, END_SECONDS) == 0

    @contextmanager
    def no_kill(self) -> Iterator[None]:
        before, before_length = self.workers, len(self.served.output)
        yield
        time.sleep(HUNG_SECONDS / 2)  # leaves time for a kill
        assert self.workers == before
        assert "worker_hung" not in self.served.output[before_length:]


@asynccontextmanager
async def start_server(folder: Path, command: str = "serve") -> AsyncIterator[Server]:
    url = f"sqlite:///{folder / 'app.db'}"
    async with open_database(url, 1) as database:
        await Migrations(SUPPORT / "tiny/migrations").upgrade(database)
    (folder / "metrics").mkdir()
    environment = {
        "RESTWELL_APP": "tiny.slow:project",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": url,
        "METRICS_DIR": str(folder / "metrics"),
        "WORKERS": "2",
        "REQUEST_TIMEOUT_SECONDS": "60",
        "SLOW_HUNG_SECONDS": str(HUNG_SECONDS),
    }
    async with serving(folder, RESTWELL, command, cwd=folder, **environment) as served:
        yield Server(served, folder / "metrics")


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with start_server(tmp_path_factory.mktemp("heartbeats")) as server:
        yield server


@pytest.fixture
async def server(shared: Server) -> Server:
    await shared.wait_until_both_serve()
    return shared


def suspend(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGSTOP)


def resume(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGCONT)


async def test_a_suspended_worker_is_replaced(server: Server) -> None:
    """Breaks without the kill: every second connection then hangs."""
    stopped, other = server.workers
    suspend(stopped)
    await server.wait_for(lambda: stopped not in server.workers)
    await server.wait_until_both_serve()
    assert other in server.workers
    assert len(re.findall(rf'"pid":{stopped},"seconds":\d.*"worker_hung"', server.served.output)) == 1


async def test_two_suspended_workers_are_both_replaced(server: Server) -> None:
    before = server.workers
    suspend(*before)
    await server.wait_for(lambda: not before & server.workers)
    await server.wait_until_both_serve()


async def test_a_worker_with_a_blocked_event_loop_is_replaced(server: Server) -> None:
    """Breaks when a thread of the worker sends the heartbeats: it continues while the event loop is blocked."""
    before = server.workers
    with pytest.raises(httpx.TransportError):
        await server.request_status("/block/60")
    await server.wait_until_both_serve()
    assert len(before & server.workers) == 1


async def test_a_busy_worker_is_not_replaced(server: Server) -> None:
    """Breaks when only an idle event loop sends heartbeats, or when a single late heartbeat kills the worker."""
    with server.no_kill():
        responses = [
            *(server.request_status(f"/compute/{HUNG_SECONDS + 1}") for _ in range(2)),
            server.request_status("/block/1"),
        ]
        assert await asyncio.gather(*responses) == [200, 200, 200]


async def test_a_resumed_main_process_kills_no_worker(server: Server) -> None:
    """Breaks when the times are checked before the buffered heartbeats are read."""
    with server.no_kill():
        suspend(server.main)
        await asyncio.sleep(HUNG_SECONDS + 1)
        resume(server.main)


async def test_no_worker_is_killed_after_all_processes_were_suspended(server: Server) -> None:
    """Breaks when a late check does not reset the times: the main process may be resumed first."""
    workers = server.workers
    with server.no_kill():
        suspend(server.main, *workers)
        await asyncio.sleep(HUNG_SECONDS + 1)
        resume(server.main)
        await asyncio.sleep(HUNG_SECONDS / 2)
        resume(*workers)


@pytest.mark.parametrize("moment", ["before the kill", "after the kill"])
async def test_a_hung_worker_does_not_delay_the_shutdown_of_the_server(tmp_path: Path, moment: str) -> None:
    """Breaks when the check ends with the first signal: the server then waits 30 s for the suspended worker."""
    async with start_server(tmp_path) as server:
        await server.wait_until_both_serve()
        suspend(next(iter(server.workers)))
        if moment == "after the kill":
            await server.wait_for(lambda: "worker_hung" in server.served.output)
        await server.stop()


async def test_the_development_server_keeps_a_suspended_worker(tmp_path: Path) -> None:
    """Breaks when ``dev`` replaces a suspended worker: a debugger may have stopped it."""
    async with start_server(tmp_path, "dev") as server:
        (server_process,) = server.workers
        stopped = children_of(server_process)[0]
        suspend(stopped)
        await asyncio.sleep(HUNG_SECONDS + 1)
        assert stopped in children_of(server_process)
        resume(stopped)


def test_a_worker_that_stops_sending_heartbeats_is_reported() -> None:
    """Breaks when a worker that has not sent a heartbeat yet counts: its start may be slow."""
    monitor = HeartbeatMonitor()
    start = time.monotonic()
    assert not monitor.has_started(OWN)
    send(monitor)
    assert overdue_at(monitor, start, range(40)) == list(range(31, 40))
    assert monitor.overdue([OWN], 30, start + 40)[OWN] == 40
    assert monitor.has_started(OWN)
    assert not monitor.has_started(OTHER)
    send(monitor)
    assert monitor.overdue([OWN], 30, start + 41) == {}


def test_a_process_that_is_no_longer_a_worker_is_removed() -> None:
    """Breaks when it is not removed: its process id may be reused by a process that has not started."""
    monitor = HeartbeatMonitor()
    send(monitor)
    assert monitor.has_started(OWN)
    monitor.overdue([OTHER], 30, time.monotonic())
    assert not monitor.has_started(OWN)


def test_heartbeat_times_restart_after_a_late_check() -> None:
    monitor = HeartbeatMonitor()
    start = time.monotonic()
    send(monitor)
    assert monitor.has_started(OWN)
    assert overdue_at(monitor, start, range(60, 100)) == list(range(91, 100))


def test_a_full_heartbeat_pipe_blocks_no_worker() -> None:
    """Breaks when the pipe blocks: a suspended main process would then block its workers."""
    monitor = HeartbeatMonitor()
    send(monitor, 20_000)
    assert monitor.has_started(OWN)
    send(monitor)
    assert monitor.overdue([OWN], 30, time.monotonic() + 60) == {}


def overdue_at(monitor: HeartbeatMonitor, start: float, seconds: range) -> list[int]:
    """The seconds after the start at which this process is reported as overdue."""
    return [second for second in seconds if monitor.overdue([OWN, OTHER], 30, start + second)]


def send(monitor: HeartbeatMonitor, times: int = 1) -> None:
    async def send_all() -> None:
        for _ in range(times):
            send_heartbeats(monitor.writer)

    asyncio.run(send_all())
