"""The first steps of the command: closed streams, and SIGTERM before anything is imported."""

import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from environments import migrated
from servers import RESTWELL, RUN, assert_nothing_left, children_of, free_port

MOMENTS = (0.0, 0.6)
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
CHECK = """
import os, socket, subprocess, sys
from restwell.__main__ import open_closed_streams

open_closed_streams()
assert socket.socket().fileno() > 2
print("out", file=sys.stdout, flush=True)
print("error", file=sys.stderr, flush=True)
assert sys.stdin.read() == ""
found = subprocess.run([sys.executable, "-c", "import os; [os.fstat(number) for number in range(3)]"])
sys.exit(found.returncode)
"""


@pytest.mark.parametrize(
    "closed",
    ["".join(each) for each in product(("", "<&- "), ("", ">&- "), ("", "2>&-"))],
    ids=lambda closed: closed or "none",
)
def test_a_closed_standard_stream_is_the_null_device(closed: str) -> None:
    """Breaks when a closed stream stays closed, or is open in this process only.

    A socket, or a file of a child process, then gets its descriptor.
    """
    command = ["sh", "-c", f'exec "$0" -W ignore -c "$1" {closed}', sys.executable, CHECK]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert found.stdout == ("" if ">&- " in closed else "out\n")
    assert found.stderr == ("" if "2>&-" in closed else "error\n")


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with jobs."""
    return await migrated(tmp_path / "app.db", "jobs_app.app")


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_the_first_process_of_a_container_ends_on_sigterm_at_any_moment(
    environment: dict[str, str], tmp_path: Path, command: str
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
