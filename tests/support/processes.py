"""The processes that a test started: those that run, and that none is left behind."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

READY_SECONDS: Final = 120
"""The longest wait for a server, on a machine that runs other tests too."""
RUN: Final = "RESTWELL_TEST_RUN"
"""In the environment of every process that a test starts, and of its children."""


def assert_nothing_left(run: str, session: int = -1) -> None:
    """Assert that all processes of the run have ended; kill those that have not."""
    deadline = time.monotonic() + READY_SECONDS
    while (left := processes_of(run, session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = [described(process) for process in left]
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert not left, "\n".join(["processes outlived the server:", *found])


def described(process: int) -> str:
    """The id, parent, state and command line of a process, and what its threads wait for."""
    with suppress(OSError):  # it has ended meanwhile
        proc = Path(f"/proc/{process}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        waits = [(task / "wchan").read_text() for task in (proc / "task").iterdir()]
        command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"{process} of {status['PPid']}, {status['State']}, {waits}, SigCgt {status['SigCgt']}: {command}"
    return f"{process} has ended"


def processes_of(run: str, session: int = -1) -> list[int]:
    """The processes with this run id in their environment, or of this session (a fork shows that of its origin)."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            environment = (proc / "environ").read_bytes()
            if f"{RUN}={run}".encode() in environment or os.getsid(int(proc.name)) == session:
                found.append(int(proc.name))
    return found


def children_of(parent: int) -> list[int]:
    """The child processes, without Python's resource tracker."""
    children = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            status, command = (proc / "status").read_text(), (proc / "cmdline").read_text()
        except OSError:
            continue  # it has ended meanwhile
        if f"PPid:\t{parent}\n" in status and "resource_tracker" not in command:
            children.append(int(proc.name))
    return children


def descendants_of(parent: int) -> list[int]:
    return [process for child in children_of(parent) for process in (child, *descendants_of(child))]
