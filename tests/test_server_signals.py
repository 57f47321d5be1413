"""The effect of each signal on each command (ARCHITECTURE.md, "Signals"), with real processes."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sample_jobs
from jobs_harness import open_harness
from restwell.database import Migrations, open_database
from servers import (
    RESTWELL,
    RUN,
    SUPPORT,
    Served,
    assert_nothing_left,
    children_of,
    descendants_of,
    free_port,
    serve,
    serving,
    wait_until,
    working,
)

pytestmark = pytest.mark.integration

MOMENTS = (0.0, 0.6)
IMMEDIATE_SECONDS = 12
"""Much less than the duration of the slow request and the slow job."""
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture(autouse=True)
def without_nohup() -> Iterator[None]:
    """Restore the default for SIGHUP: a test run under nohup ignores it, and child processes inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with jobs."""
    return await migrated(tmp_path, "jobs_app.app")


@pytest.fixture
async def slow(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with slow routes."""
    return {**await migrated(tmp_path, "tiny.slow"), "REQUEST_TIMEOUT_SECONDS": "30"}


async def migrated(folder: Path, module: str) -> dict[str, str]:
    """Migrate a database for the application and return its environment."""
    url = f"sqlite:///{folder / 'app.db'}"
    async with open_database(url, 1) as database:
        await Migrations(SUPPORT / module.partition(".")[0] / "migrations").upgrade(database)
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    return {"RESTWELL_APP": f"{module}:project", "PYTHONPATH": path, "DATABASE_URL": url}


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_the_first_process_of_a_container_ends_on_sigterm_at_any_moment(
    environment: dict[str, Any], tmp_path: Path, command: str
) -> None:
    """Breaks when the handler is set after the imports: the kernel ignores SIGTERM for process 1 without a handler."""
    began = time.monotonic()
    subprocess.run([*NAMESPACE, RESTWELL.with_name("python"), "-c", ""], check=True)
    interpreter = time.monotonic() - began  # the time before any code can set a handler
    for moment in MOMENTS:
        run = f"{os.getpid()}-{command}-{moment}"
        env = {**os.environ, **environment, "PORT": str(free_port()), RUN: run}
        process = subprocess.Popen([*NAMESPACE, RESTWELL, command], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        time.sleep(3 * interpreter + moment)
        (first,) = children_of(process.pid)
        os.kill(first, signal.SIGTERM)
        try:
            assert process.wait(10) in {0, 128 + signal.SIGTERM}, moment
        finally:
            process.kill()
            assert_nothing_left(run)


async def request(served: Served, path: str) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"{served.url}/v1/slow{path}")).status_code


async def wait_for_exit(process: subprocess.Popen[bytes], seconds: float) -> int:
    return await asyncio.to_thread(process.wait, seconds)


def assert_ignores_user_signals(served: Served) -> None:
    """Breaks when SIGUSR1 or SIGUSR2 has its default action, which terminates the process."""
    started = descendants_of(served.process.pid)
    for process in (served.process.pid, *started):
        os.kill(process, signal.SIGUSR1)
        os.kill(process, signal.SIGUSR2)
    time.sleep(0.2)
    assert served.process.poll() is None
    assert descendants_of(served.process.pid) == started


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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
async def test_a_worker_finishes_its_jobs_when_a_terminal_signals_all_its_processes(
    environment: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    """Breaks when a worker process does not ignore the signal: a job process then ends."""
    async with open_harness(environment["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        await harness.enqueue(sample_jobs.sleep, seconds=4.0)
        await harness.enqueue(sample_jobs.blocking_sleep, seconds=2.0)
        with working(tmp_path, **environment) as served:
            worker_and_job = 2
            wait_until(lambda: len(descendants_of(served.process.pid)) == worker_and_job, served.process)
            assert_ignores_user_signals(served)
            for process in (served.process.pid, *descendants_of(served.process.pid)):
                os.kill(process, number)
            assert await wait_for_exit(served.process, 20) == 0
        assert await harness.states() == ["done", "done"]


def test_a_worker_under_nohup_ignores_sighup(environment: dict[str, Any], tmp_path: Path) -> None:
    """Breaks when the supervisor handles a signal that nohup has ignored: closing the terminal then stops the jobs."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with working(tmp_path, **environment) as served:
        wait_until(lambda: bool(children_of(served.process.pid)), served.process)
        for process in (served.process.pid, *children_of(served.process.pid)):
            os.kill(process, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(1)
        served.process.terminate()
        assert served.process.wait(20) == 0


async def test_a_worker_exits_immediately_on_the_second_stop_signal(
    environment: dict[str, Any], tmp_path: Path
) -> None:
    """Breaks when the second signal is ignored: the supervisor then waits until the job has finished."""
    async with open_harness(environment["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        await harness.enqueue(sample_jobs.sleep, seconds=20.0)
        with working(tmp_path, **environment) as served:
            await harness.wait_for_states(lambda states: states == ["running"])
            served.process.terminate()
            await asyncio.sleep(0.4)
            served.process.terminate()
            assert await wait_for_exit(served.process, IMMEDIATE_SECONDS) == 0


def test_sigquit_ends_a_worker(environment: dict[str, Any], tmp_path: Path) -> None:
    with working(tmp_path, **environment) as served:
        served.process.send_signal(signal.SIGQUIT)
        assert served.process.wait(IMMEDIATE_SECONDS) == -signal.SIGQUIT
