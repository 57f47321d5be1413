"""The effect of each signal on a server (ARCHITECTURE.md, "Signals"), with real processes."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from granian.server.mp import MPServer

from environments import IMMEDIATE_SECONDS, assert_ignores_user_signals, migrated, wait_for_exit
from processes import children_of
from restwell._server import _Server
from servers import RESTWELL, Served, serve, serving, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def without_nohup() -> Iterator[None]:
    """Restore the default for SIGHUP: a test run under nohup ignores it, and child processes inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def slow(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with slow routes."""
    return {**await migrated(tmp_path / "app.db", "tiny.slow"), "REQUEST_TIMEOUT_SECONDS": "30"}


async def request(served: Served, path: str) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"{served.url}/v1/slow{path}")).status_code


@pytest.mark.parametrize(("command", "number"), [("serve", signal.SIGTERM), ("dev", signal.SIGHUP)])
async def test_a_server_finishes_its_requests_after_a_stop_signal(
    slow: dict[str, str], tmp_path: Path, command: str, number: signal.Signals
) -> None:
    async with serving(tmp_path, RESTWELL, command, cwd=tmp_path, **slow) as served:
        assert_ignores_user_signals(served)
        response = asyncio.create_task(request(served, "/wait/1"))
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        assert await response == 200
        assert await wait_for_exit(served.process, 20) == 0


def test_a_worker_that_is_killed_right_before_the_stop_signal_does_not_change_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails if ``_Server`` leaves it to Granian, which ends with 1 if a worker has not been replaced yet."""
    not_replaced: list[list[int]] = []
    monkeypatch.setattr(MPServer, "shutdown", lambda server, _: not_replaced.append(list(server.interrupt_children)))
    server = _Server("none:app", hung_seconds=1.0)
    server.interrupt_children.append(0)
    server.shutdown()
    server.interrupt_signal = True
    server.shutdown()
    assert not_replaced == [[0], []]


@pytest.mark.parametrize(("command", "number"), [("serve", signal.SIGTERM), ("dev", signal.SIGINT)])
async def test_a_server_exits_immediately_on_the_second_stop_signal(
    slow: dict[str, str], tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """Breaks when the second signal has the same effect as the first: the server then waits for the request."""
    async with serving(tmp_path, RESTWELL, command, cwd=tmp_path, **slow) as served:
        response = asyncio.create_task(request(served, "/wait/20"))
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        assert await wait_for_exit(served.process, IMMEDIATE_SECONDS) == 0
        with pytest.raises(httpx.TransportError):
            await response


def test_a_server_replaces_its_workers_on_sighup(slow: dict[str, str], tmp_path: Path) -> None:
    """Breaks when SIGHUP, which a terminal sends to all processes, terminates the workers: requests are then lost."""
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **slow, WORKERS="2") as served:
        before = set(children_of(served.process.pid))
        for process in before:
            os.kill(process, signal.SIGHUP)
        time.sleep(0.2)
        assert set(children_of(served.process.pid)) == before
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not before & set(children_of(served.process.pid)), served.process, served)
        wait_until(served.is_ready, served.process, served)
        assert len(children_of(served.process.pid)) == 2


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_sigquit_ends_a_server_and_its_workers(slow: dict[str, str], tmp_path: Path, command: str) -> None:
    """Breaks when a child lives longer than its parent."""
    with serve(tmp_path, RESTWELL, command, cwd=tmp_path, **slow) as served:
        served.process.send_signal(signal.SIGQUIT)
        assert served.process.wait(IMMEDIATE_SECONDS) == -signal.SIGQUIT
