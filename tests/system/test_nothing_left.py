"""A test run leaves no processes and no files behind, even if it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import reaper
from servers import RESTWELL, ROOT, restwell, serve, wait_until
from tiny.environment import tiny_environment

BEGUN = "RESTWELL_TEST_BEGUN"
"""The environment variable with the file that the killed run writes when its servers have started."""

if BEGUN in os.environ:

    def test_that_gets_killed(postgres_server: str, redis_url: str, tmp_path: Path) -> None:
        env: dict[str, Any] = tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}")
        assert restwell("migrate", **env).returncode == 0
        with serve(tmp_path, RESTWELL, "serve", **env) as served:
            assert httpx.get(f"{served.url}/health/live").status_code == 200
            assert postgres_server
            assert redis_url
            Path(os.environ[BEGUN]).write_text(os.environ[reaper.FOLDER])
            time.sleep(60)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_run_leaves_no_process_and_no_folder(how: signal.Signals, tmp_path: Path) -> None:
    """Breaks without the watchdog process: PostgreSQL, Redis and the application keep running."""
    begun = tmp_path / "begun"
    program = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "test_that_gets_killed", "-p", "no:cacheprovider"]
    run = subprocess.Popen(program, cwd=ROOT, env={**os.environ, BEGUN: str(begun)}, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: begun.exists() and begun.read_text() != "", run)
    finally:
        run.send_signal(how)
        run.wait()
    folder = Path(begun.read_text())
    wait_until(lambda: not folder.exists())
    wait_until(lambda: not reaper.processes_of(folder))
