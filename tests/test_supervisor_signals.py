"""The effect of each signal on the workers of jobs (ARCHITECTURE.md, "Signals"), with real processes."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sample_jobs
from environments import IMMEDIATE_SECONDS, assert_ignores_user_signals, migrated, wait_for_exit
from jobs_harness import open_harness
from processes import children_of, descendants_of
from servers import wait_until, working

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def without_nohup() -> Iterator[None]:
    """Restore the default for SIGHUP: a test run under nohup ignores it, and child processes inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with jobs."""
    return await migrated(tmp_path / "app.db", "jobs_app.app")


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
