"""The first steps of the command: closed streams, and SIGTERM before anything is imported."""

import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from environments import migrated
from processes import RUN, assert_nothing_left, children_of
from servers import RESTWELL, free_port

MOMENTS = (0.0, 0.6)
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
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


ORPHAN: Final = """
import os, subprocess, sys, time
from pathlib import Path
from restwell.__main__ import continue_in_child

continue_in_child()
assert os.getpid() != 1
subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
deadline = time.monotonic() + 10
while len(list(Path("/proc").glob("[0-9]*"))) > 2 and time.monotonic() < deadline:
    time.sleep(0.05)
print(sorted(int(each.name) for each in Path("/proc").glob("[0-9]*")) == [1, os.getpid()])
ending = sys.argv[1]
os.kill(os.getpid(), int(ending)) if ending.isdigit() else sys.exit(7)
"""


@pytest.mark.integration
@needs_root
def test_the_first_process_of_a_container_reaps_orphans_and_exits_as_the_command() -> None:
    """Fails if process 1 waits for its own child only: each orphan is a zombie then, until no process can start."""
    for ending, code in (("exit", 7), (str(int(signal.SIGKILL)), 128 + signal.SIGKILL)):
        command = [*NAMESPACE, sys.executable, "-c", ORPHAN, ending]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (found.stdout, found.returncode) == ("True\n", code), found.stderr


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with jobs."""
    return await migrated(tmp_path / "app.db", "jobs_app.app")


@pytest.mark.integration
@needs_root
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_the_first_process_of_a_container_ends_on_sigterm_at_any_moment(
    environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Fails if process 1 runs the command itself: the kernel ignores SIGTERM until the imports have set a handler."""
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
