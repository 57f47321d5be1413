"""A worker that hangs is replaced, one that is merely busy is not, and a machine that was suspended loses none."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from raw_client import say_raw
from restwell.database import Migrations, open_database
from restwell.heartbeats import Heartbeats, beat
from servers import RESTWELL, SUPPORT, Served, children_of, serving, wait_until

pytestmark = pytest.mark.integration

HUNG_SECONDS = 2
END_SECONDS = 10
"""A server that waits for a stopped worker takes 30."""
OWN, OTHER = os.getpid(), 1


@dataclass
class Server:
    """Two workers, and routes that take their time."""

    served: Served
    metrics: Path

    @property
    def main(self) -> int:
        return self.served.process.pid

    @property
    def workers(self) -> set[int]:
        return set(children_of(self.main))

    async def until(self, so: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_until, so, self.served.process, self.served)

    async def both_answer(self) -> None:
        """Two workers have started, and forty connections, of which each gets some, are all served within moments."""
        await self.until(lambda: len(self._started()) == 2 and self._answers())

    def _started(self) -> list[int]:
        return [worker for worker in self.workers if any(self.metrics.glob(f"{worker}-*.metrics"))]

    def _answers(self) -> bool:
        port = int(self.served.url.rpartition(":")[2])
        request = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        return all(b" 200 OK" in say_raw(port, request, 1) for _ in range(40))

    async def ask(self, path: str) -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            return (await client.get(f"{self.served.url}/v1/slow{path}")).status_code

    async def end(self) -> None:
        self.served.process.terminate()
        assert await asyncio.to_thread(self.served.process.wait, END_SECONDS) == 0

    @contextmanager
    def killing_nobody(self) -> Iterator[None]:
        before, told = self.workers, len(self.served.output)
        yield
        time.sleep(HUNG_SECONDS / 2)  # so that a kill can still come
        assert self.workers == before
        assert "worker_hung" not in self.served.output[told:]


@asynccontextmanager
async def started(folder: Path, command: str = "serve") -> AsyncIterator[Server]:
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
    async with started(tmp_path_factory.mktemp("heartbeats")) as server:
        yield server


@pytest.fixture
async def server(shared: Server) -> Server:
    await shared.both_answer()
    return shared


def stop(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGSTOP)


def go_on(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGCONT)


async def test_a_suspended_worker_is_replaced(server: Server) -> None:
    """Breaks without the kill: every second connection waits for ever."""
    stopped, other = server.workers
    stop(stopped)
    await server.until(lambda: stopped not in server.workers)
    await server.both_answer()
    assert other in server.workers
    (line,) = [line for line in server.served.output.splitlines() if "worker_hung" in line]
    assert f'"pid":{stopped},"seconds":2.' in line


async def test_two_suspended_workers_are_both_replaced(server: Server) -> None:
    before = server.workers
    stop(*before)
    await server.until(lambda: not before & server.workers)
    await server.both_answer()


async def test_a_worker_with_a_blocked_event_loop_is_replaced(server: Server) -> None:
    """Breaks when a thread of the worker sends the heartbeats: it goes on while the loop stands still."""
    before = server.workers
    with pytest.raises(httpx.TransportError):
        await server.ask("/block/60")
    await server.both_answer()
    assert len(before & server.workers) == 1


async def test_a_busy_worker_is_not_replaced(server: Server) -> None:
    """Breaks when only an idle event loop sends heartbeats, or the first one that is late costs the worker its life."""
    with server.killing_nobody():
        answers = [*(server.ask(f"/compute/{HUNG_SECONDS + 1}") for _ in range(2)), server.ask("/block/1")]
        assert await asyncio.gather(*answers) == [200, 200, 200]


async def test_a_resumed_main_process_kills_no_worker(server: Server) -> None:
    """Breaks when the times are judged before what has come meanwhile is read."""
    with server.killing_nobody():
        stop(server.main)
        await asyncio.sleep(HUNG_SECONDS + 1)
        go_on(server.main)


async def test_no_worker_is_killed_after_all_processes_were_suspended(server: Server) -> None:
    """Breaks when a tick that comes late does not begin the times again: the main process may be the first to go on."""
    workers = server.workers
    with server.killing_nobody():
        stop(server.main, *workers)
        await asyncio.sleep(HUNG_SECONDS + 1)
        go_on(server.main)
        await asyncio.sleep(HUNG_SECONDS / 2)
        go_on(*workers)


@pytest.mark.parametrize("moment", ["before the kill", "after the kill"])
async def test_a_hung_worker_does_not_delay_the_end_of_the_server(tmp_path: Path, moment: str) -> None:
    """Breaks when the watch ends with the first signal: a stopped worker does not heed it, and is waited for for 30 s."""
    async with started(tmp_path) as server:
        await server.both_answer()
        stop(next(iter(server.workers)))
        if moment == "after the kill":
            await server.until(lambda: "worker_hung" in server.served.output)
        await server.end()


async def test_the_development_server_keeps_a_suspended_worker(tmp_path: Path) -> None:
    """Breaks when ``dev`` replaces it too: it may be one that a debugger holds."""
    async with started(tmp_path, "dev") as server:
        (serves,) = server.workers
        stopped = children_of(serves)[0]
        stop(stopped)
        await asyncio.sleep(HUNG_SECONDS + 1)
        assert stopped in children_of(serves)
        go_on(stopped)


def test_a_worker_that_stops_sending_heartbeats_is_reported() -> None:
    """Breaks when one that has sent none yet counts too: a start may take its time."""
    beats = Heartbeats()
    start = time.monotonic()
    assert not beats.has_begun(OWN)
    send(beats)
    assert silent_at(beats, start, range(40)) == list(range(31, 40))
    assert beats.silent([OWN], 30, start + 40)[OWN] == 40
    assert beats.has_begun(OWN)
    assert not beats.has_begun(OTHER)
    send(beats)
    assert beats.silent([OWN], 30, start + 41) == {}


def test_a_process_that_is_no_longer_a_worker_is_forgotten() -> None:
    """Breaks when it is remembered: its process id may be given to a process that has not begun."""
    beats = Heartbeats()
    send(beats)
    assert beats.has_begun(OWN)
    beats.silent([OTHER], 30, time.monotonic())
    assert not beats.has_begun(OWN)


def test_heartbeat_times_restart_after_a_late_check() -> None:
    beats = Heartbeats()
    start = time.monotonic()
    send(beats)
    assert beats.has_begun(OWN)
    assert silent_at(beats, start, range(60, 100)) == list(range(91, 100))


def test_a_full_heartbeat_pipe_blocks_no_worker() -> None:
    """Breaks when the pipe blocks: a main process that is stopped would stop all of its workers with it."""
    beats = Heartbeats()
    send(beats, 20_000)
    assert beats.has_begun(OWN)
    send(beats)
    assert beats.silent([OWN], 30, time.monotonic() + 60) == {}


def silent_at(beats: Heartbeats, start: float, seconds: range) -> list[int]:
    """When it is told that we are silent, of these seconds after the start."""
    return [second for second in seconds if beats.silent([OWN, OTHER], 30, start + second)]


def send(beats: Heartbeats, times: int = 1) -> None:
    async def in_a_loop() -> None:
        for _ in range(times):
            beat(beats.writer)

    asyncio.run(in_a_loop())
