"""The server: workers share the port, a crashed worker is replaced, and no worker outlives the server."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from processes import READY_SECONDS, RUN, assert_nothing_left, children_of, processes_of
from restwell._child_processes import STOP_SECONDS
from servers import RESTWELL, SUPPORT, Served, free_port, restwell, serve, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def tiny_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a migrated tiny application with two workers."""
    env = {
        "RESTWELL_APP": "tiny.app:project",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}",
        "WORKERS": "2",
    }
    assert restwell("migrate", cwd=tmp_path, **env).returncode == 0
    return env


def test_a_killed_worker_is_replaced(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when Granian does not respawn workers: the server then exits with its worker."""
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **tiny_env) as served:
        before = children_of(served.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(children_of(served.process.pid)) - set(before)) == 1, served.process, served)
        wait_until(served.is_ready, served.process, served)
        assert before[1] in children_of(served.process.pid)


@pytest.mark.parametrize("named", ["in .env", "empty"])
def test_a_worker_is_replaced_however_often_it_is_killed(tiny_env: dict[str, str], tmp_path: Path, named: str) -> None:
    """Breaks with Granian's default: the server exits when a replaced worker crashes again within seconds.

    Regression: the default applied with an empty METRICS_DIR, and METRICS_DIR in .env was ignored.
    """
    env = {**tiny_env, "TMPDIR": str(tmp_path)}
    metrics = tmp_path / "metrics"
    if named == "in .env":
        metrics.mkdir()
        (tmp_path / ".env").write_text(f"METRICS_DIR={metrics}\n")
    else:
        env["METRICS_DIR"] = ""
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served:
        if named == "empty":
            (metrics,) = tmp_path.glob("restwell-metrics-*")
        wait_until(lambda: len(list(metrics.glob("*.metrics"))) == 2, served.process, served)
        known = set(children_of(served.process.pid))
        newest = max(known)
        for _ in range(3):
            os.kill(newest, signal.SIGKILL)
            newest = started_since(known, served, metrics)
            known.add(newest)
            assert "restwell_" in httpx.get(f"{served.url}/metrics").text
        assert served.is_ready()


def started_since(known: set[int], served: Served, metrics: Path) -> int:
    """Wait for a new worker to start, and return its process id."""

    def found() -> list[int]:
        new = set(children_of(served.process.pid)) - known
        return [process for process in new if any(metrics.glob(f"{process}-*.metrics"))]

    wait_until(lambda: bool(found()), served.process, served)
    return found()[0]


@pytest.mark.parametrize("command", ["serve", "dev", "worker"])
def test_an_unwritable_metrics_folder_is_refused_at_start(
    tiny_env: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Breaks when only its existence is checked: the workers then exit without a reason."""
    restwell("migrate", cwd=tmp_path, **tiny_env).check_returncode()
    env = {**tiny_env, "METRICS_DIR": "/proc", "PORT": str(free_port())}
    done = restwell(command, cwd=tmp_path, **env)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("restwell: METRICS_DIR: /proc is not writable: ")


def test_workers_that_cannot_start_end_the_server(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when every worker is replaced: the orchestrator then does not notice that the release is broken."""
    (tmp_path / "bad.py").write_text(
        "import multiprocessing\nfrom dataclasses import replace\nfrom tiny.app import project as good\n"
        "def create_app(settings):\n"
        "    if multiprocessing.parent_process() is not None:\n        raise ValueError('not in a worker')\n"
        "    return good.create_app(settings)\n"
        "project = replace(good, create_app=create_app)\n"
    )
    env = {**tiny_env, "RESTWELL_APP": "bad:project", "PORT": str(free_port()), "WORKERS": "1"}
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    assert restwell("serve", cwd=tmp_path, **env).returncode == 1


def test_every_worker_reads_what_another_has_written(tiny_env: dict[str, str], tmp_path: Path) -> None:
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **tiny_env) as served:
        for number in range(20):
            # A new connection each time, so that either worker may serve it.
            added = httpx.post(f"{served.url}/v1/notes", json={"text": str(number)}).json()
            listed = httpx.get(f"{served.url}/v1/notes?limit=100").json()["items"]
            assert listed[-1] == added


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_workers_end_when_their_server_is_killed(tiny_env: dict[str, str], tmp_path: Path, command: str) -> None:
    """Breaks without ``exit_with_parent``: orphaned workers keep serving, and the next start finds the port in use."""
    with serve(tmp_path, RESTWELL, command, cwd=tmp_path, **tiny_env) as served:
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    again = {**tiny_env, "PORT": served.url.rpartition(":")[2]}
    assert "cannot listen" not in restwell("migrate", cwd=tmp_path, **again).stderr


def test_a_server_ends_on_sigterm_at_any_moment_of_its_start(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when a worker starts with the handler of its parent: a signal during the fork is then lost."""
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


@pytest.mark.parametrize("moment", ["Event", "ASGIWorker"])
def test_a_worker_ends_on_a_sigterm_between_two_runs_of_its_event_loop(
    tiny_env: dict[str, str], tmp_path: Path, moment: str
) -> None:
    """Breaks with Granian's handlers: uvloop calls them only for a signal that arrives while it runs.

    The main process sends SIGTERM twice, and Granian's signal blocks the process when it is set again.
    Granian creates its Event before the start of the application, and its ASGIWorker after it.
    """
    (tmp_path / "signalled.py").write_text(
        "import asyncio, os, signal, time\nfrom types import SimpleNamespace\nfrom granian.server import mp\n"
        "from tiny.app import project\n"
        "Event, ASGIWorker = asyncio.Event, mp.ASGIWorker\n"
        "def signalled(name, create, *arguments):\n"
        f"    if name == {moment!r}:\n        os.kill(os.getppid(), signal.SIGTERM)\n        time.sleep(0.5)\n"
        "    return create(*arguments)\n"
        "mp.asyncio = SimpleNamespace(Event=lambda: signalled('Event', Event))\n"
        "mp.ASGIWorker = lambda *arguments: signalled('ASGIWorker', ASGIWorker, *arguments)\n"
    )
    env = {**os.environ, **tiny_env, "RESTWELL_APP": "signalled:project", "PORT": str(free_port()), "WORKERS": "1"}
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    started = time.monotonic()
    done = restwell("serve", cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "refused to gracefully stop" not in done.stderr
    assert time.monotonic() - started < STOP_SECONDS


def test_a_server_ends_on_sigterm_while_it_replaces_a_worker(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Fails if the handler terminates a process that is being forked: it has no id yet, and the signal is then lost."""
    (tmp_path / "stopped.py").write_text(
        "import itertools, os, signal\nfrom tiny.app import project\n"
        "parent, forks = os.getpid(), itertools.count(1)\n"
        "def stop_at_the_third():\n"
        "    if next(forks) == 3 and os.getpid() == parent:\n        os.kill(parent, signal.SIGTERM)\n"
        "os.register_at_fork(after_in_parent=stop_at_the_third)\n"
    )
    env = {**tiny_env, "RESTWELL_APP": "stopped:project"}
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served:
        os.kill(children_of(served.process.pid)[0], signal.SIGKILL)
        assert served.process.wait(READY_SECONDS) == 0
        assert "unraisable" not in served.output


def test_an_idle_connection_stays_open_as_long_as_it_is_set(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Fails with the default of 10 s, or if the server closes each connection sooner."""
    settings = {**tiny_env, "WORKERS": "1", "KEEPALIVE_SECONDS": "3"}
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
        port = int(served.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
            for _ in range(2):
                connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: app.test\r\n\r\n")
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")
                time.sleep(1)
            while connection.recv(65_536):
                pass
