"""What each signal does to each command (ARCHITECTURE.md, "Signals"), with real processes."""

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
AT_ONCE_SECONDS = 12
"""The slow request and the slow job take much longer."""
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture(autouse=True)
def without_nohup() -> Iterator[None]:
    """Processes inherit what is ignored; a run under nohup ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """An application with jobs."""
    return await migrated(tmp_path, "jobs_app.app")


@pytest.fixture
async def slow(tmp_path: Path) -> dict[str, str]:
    """An application with slow routes."""
    return {**await migrated(tmp_path, "tiny.slow"), "REQUEST_TIMEOUT_SECONDS": "30"}


async def migrated(folder: Path, module: str) -> dict[str, str]:
    """The environment of an application whose database is migrated."""
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
    """Breaks when the handler is set after the imports: the kernel drops a SIGTERM that process 1 does not handle."""
    began = time.monotonic()
    subprocess.run([*NAMESPACE, RESTWELL.with_name("python"), "-c", ""], check=True)
    interpreter = time.monotonic() - began  # nothing can be handled before
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


async def ask(served: Served, path: str) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"{served.url}/v1/slow{path}")).status_code


async def ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    return await asyncio.to_thread(process.wait, seconds)


def ignore_what_is_to_be_ignored(served: Served) -> None:
    """Breaks when one of them has its default action: it ends the process."""
    started = descendants_of(served.process.pid)
    for process in (served.process.pid, *started):
        os.kill(process, signal.SIGUSR1)
        os.kill(process, signal.SIGUSR2)
    time.sleep(0.2)
    assert served.process.poll() is None
    assert descendants_of(served.process.pid) == started


@pytest.mark.parametrize(("command", "number"), [("serve", signal.SIGTERM), ("dev", signal.SIGHUP)])
async def test_a_server_that_is_told_to_stop_finishes_its_requests(
    slow: dict[str, str], tmp_path: Path, command: str, number: signal.Signals
) -> None:
    async with serving(tmp_path, RESTWELL, command, cwd=tmp_path, **slow) as served:
        ignore_what_is_to_be_ignored(served)
        asked = asyncio.create_task(ask(served, "/wait/1"))
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        assert await asked == 200
        assert await ended(served.process, 20) == 0


@pytest.mark.parametrize(("command", "number"), [("serve", signal.SIGTERM), ("dev", signal.SIGINT)])
async def test_a_server_that_is_told_to_stop_twice_ends_at_once(
    slow: dict[str, str], tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """Breaks when the second signal only sets again what the first has set: it waits for the request."""
    async with serving(tmp_path, RESTWELL, command, cwd=tmp_path, **slow) as served:
        asked = asyncio.create_task(ask(served, "/wait/20"))
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        await asyncio.sleep(0.4)
        served.process.send_signal(number)
        assert await ended(served.process, AT_ONCE_SECONDS) == 0
        with pytest.raises(httpx.TransportError):
            await asked


def test_a_server_replaces_its_workers_on_sighup(slow: dict[str, str], tmp_path: Path) -> None:
    """Breaks when the workers die of the signal, which a terminal sends to all: what they had begun is lost."""
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


def test_sigquit_ends_a_server_and_its_workers(slow: dict[str, str], tmp_path: Path) -> None:
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **slow) as served:
        served.process.send_signal(signal.SIGQUIT)
        assert served.process.wait(AT_ONCE_SECONDS) == -signal.SIGQUIT


async def test_a_worker_finishes_its_jobs_on_sighup(environment: dict[str, Any], tmp_path: Path) -> None:
    """Breaks when SIGHUP has its default action, or ends the process that does the job in its midst."""
    async with open_harness(environment["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        job_id = await harness.enqueue(sample_jobs.sleep, seconds=1.0)
        with working(tmp_path, **environment) as served:
            await harness.until(lambda states: states == ["running"])
            ignore_what_is_to_be_ignored(served)
            for process in (served.process.pid, *children_of(served.process.pid)):  # as a terminal does
                os.kill(process, signal.SIGHUP)
            assert await ended(served.process, 20) == 0
        assert (await harness.jobs.get(job_id)).state == "done"


def test_a_worker_under_nohup_goes_on_at_sighup(environment: dict[str, Any], tmp_path: Path) -> None:
    """Breaks when the supervisor takes the signal that whoever started it has ignored: the jobs of a closed terminal end."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with working(tmp_path, **environment) as served:
        wait_until(lambda: bool(children_of(served.process.pid)), served.process)
        for process in (served.process.pid, *children_of(served.process.pid)):
            os.kill(process, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(1)
        served.process.terminate()
        assert served.process.wait(20) == 0


async def test_a_worker_that_is_told_to_stop_twice_ends_at_once(environment: dict[str, Any], tmp_path: Path) -> None:
    """Broke when the second signal was only noted: the supervisor waited until the job had ended."""
    async with open_harness(environment["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        await harness.enqueue(sample_jobs.sleep, seconds=20.0)
        with working(tmp_path, **environment) as served:
            await harness.until(lambda states: states == ["running"])
            served.process.terminate()
            await asyncio.sleep(0.4)
            served.process.terminate()
            assert await ended(served.process, AT_ONCE_SECONDS) == 0


def test_sigquit_ends_a_worker(environment: dict[str, Any], tmp_path: Path) -> None:
    with working(tmp_path, **environment) as served:
        served.process.send_signal(signal.SIGQUIT)
        assert served.process.wait(AT_ONCE_SECONDS) == -signal.SIGQUIT
