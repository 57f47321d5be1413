"""What each signal does to each command (ARCHITECTURE.md, "Signals"), with real processes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from servers import RESTWELL, ROOT, RUN, assert_nothing_left, children_of, free_port, restwell

MOMENTS = (0.0, 0.3, 0.9)
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A migrated application with jobs."""
    env = {
        "RESTWELL_APP": "labour.app:project",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'labour.db'}",
        "CACHE_DIR": str(tmp_path / "cache"),
        "WORKERS": "2",
    }
    assert restwell("migrate", cwd=tmp_path, **env).returncode == 0
    return env


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_the_first_process_of_a_container_ends_when_told_at_any_moment(
    environment: dict[str, str], tmp_path: Path, command: str
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
