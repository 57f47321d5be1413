"""Serving: workers share the port, and one that dies is replaced."""

import os
import signal
from pathlib import Path

import httpx

from servers import RESTWELL, ROOT, serve, wait_until

TINY = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(ROOT / "tests")}


def workers_of(parent: int) -> list[int]:
    """The processes of the server that hold a python interpreter with our app: its children that are no trackers."""
    children = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            status, command = (proc / "status").read_text(), (proc / "cmdline").read_text()
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in status and "resource_tracker" not in command:
            children.append(int(proc.name))
    return children


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """Breaks when Granian is not told to respawn: the server then ends with its worker."""
    env = {**TINY, "WORKERS": "2", "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}"}
    with serve(tmp_path, RESTWELL, "dev", cwd=tmp_path, **env) as served:
        (main,) = workers_of(served.process.pid)
        before = workers_of(main)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(main)) - set(before)) == 1, served.process, served)
        wait_until(served.is_ready, served.process, served)
        assert before[1] in workers_of(main)


def test_every_worker_answers_what_another_has_written(tmp_path: Path) -> None:
    env = {**TINY, "WORKERS": "2", "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}"}
    with serve(tmp_path, RESTWELL, "dev", cwd=tmp_path, **env) as served:
        for number in range(20):
            # A connection of its own each time, so that either worker may take it.
            added = httpx.post(f"{served.url}/v1/notes", json={"text": str(number)}).json()
            listed = httpx.get(f"{served.url}/v1/notes?limit=100").json()["items"]
            assert listed[-1] == added
