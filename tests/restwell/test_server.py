"""Serving: workers share the port, and one that dies is replaced."""

import os
import signal
from pathlib import Path

import httpx

from servers import RESTWELL, ROOT, children_of, serve, wait_until

TINY = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(ROOT / "tests")}


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """Breaks when Granian is not told to respawn: the server then ends with its worker."""
    env = {**TINY, "WORKERS": "2", "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}"}
    with serve(tmp_path, RESTWELL, "dev", cwd=tmp_path, **env) as served:
        (main,) = children_of(served.process.pid)
        before = children_of(main)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(children_of(main)) - set(before)) == 1, served.process, served)
        wait_until(served.is_ready, served.process, served)
        assert before[1] in children_of(main)


def test_every_worker_answers_what_another_has_written(tmp_path: Path) -> None:
    env = {**TINY, "WORKERS": "2", "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}"}
    with serve(tmp_path, RESTWELL, "dev", cwd=tmp_path, **env) as served:
        for number in range(20):
            # A connection of its own each time, so that either worker may take it.
            added = httpx.post(f"{served.url}/v1/notes", json={"text": str(number)}).json()
            listed = httpx.get(f"{served.url}/v1/notes?limit=100").json()["items"]
            assert listed[-1] == added
