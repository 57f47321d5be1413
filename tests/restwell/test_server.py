"""Serving: workers share the port, one that dies is replaced, and none outlives the server."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from servers import (
    RESTWELL,
    ROOT,
    RUN,
    assert_nothing_left,
    children_of,
    free_port,
    processes_of,
    restwell,
    serve,
    wait_until,
)


@pytest.fixture
def tiny_env(tmp_path: Path) -> dict[str, str]:
    """A migrated tiny application with two workers."""
    env = {
        "RESTWELL_APP": "tiny.app:project",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}",
        "WORKERS": "2",
    }
    assert restwell("migrate", cwd=tmp_path, **env).returncode == 0
    return env


def test_a_killed_worker_is_replaced(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when Granian is not told to respawn: the server then ends with its worker."""
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **tiny_env) as served:
        before = children_of(served.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(children_of(served.process.pid)) - set(before)) == 1, served.process, served)
        wait_until(served.is_ready, served.process, served)
        assert before[1] in children_of(served.process.pid)


def test_every_worker_answers_what_another_has_written(tiny_env: dict[str, str], tmp_path: Path) -> None:
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **tiny_env) as served:
        for number in range(20):
            # A connection of its own each time, so that either worker may take it.
            added = httpx.post(f"{served.url}/v1/notes", json={"text": str(number)}).json()
            listed = httpx.get(f"{served.url}/v1/notes?limit=100").json()["items"]
            assert listed[-1] == added


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_workers_end_with_a_server_that_is_killed(tiny_env: dict[str, str], tmp_path: Path, command: str) -> None:
    """Breaks without ``end_with_parent``: the orphans serve on, and the port is taken at the next start."""
    with serve(tmp_path, RESTWELL, command, cwd=tmp_path, **tiny_env) as served:
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    again = {**tiny_env, "PORT": served.url.rpartition(":")[2]}
    assert "cannot listen" not in restwell("migrate", cwd=tmp_path, **again).stderr


def test_ends_when_told_at_any_moment_of_its_start(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when a worker begins with its parent's handler: a signal at the moment of the fork is lost, and it stays."""
    for tenths in range(2, 16):
        run = f"{os.getpid()}-{tenths}"
        env = {**os.environ, **tiny_env, "PORT": str(free_port()), RUN: run}
        process = subprocess.Popen([RESTWELL, "serve"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        time.sleep(tenths / 10)
        process.terminate()
        started = time.monotonic()
        process.wait(60)
        assert_nothing_left(run)
        assert processes_of(run) == []
        assert time.monotonic() - started < 10
