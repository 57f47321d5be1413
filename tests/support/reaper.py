"""Ends every process and removes every folder of a run of the tests, also of one that is killed: `python reaper.py FOLDER` waits for that.

A run has a folder, which is its ``TMPDIR`` and stands in the environment of all its processes.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER: Final = "RESTWELL_TEST_FOLDER"
SECONDS: Final = 10
"""How long an ended process may take to be gone."""


def watched(folder: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one for as long as it takes to sweep after it."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    return subprocess.Popen([sys.executable, __file__, str(folder)], env=environment, start_new_session=True)


def sweep(folder: Path) -> list[str]:
    """End what is left of the run, and remove its folder. Returns the command lines of the processes that were still there."""
    left: dict[int, str] = {}
    deadline = time.monotonic() + SECONDS
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        left |= found
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return list(left.values())


def processes_of(folder: Path) -> dict[int, str]:
    """The processes of the run, but this one: the command line of each."""
    found = {}
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is another user's
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Python's own resource tracker ends with the process that it belongs to.
            if int(proc.name) != os.getpid() and "resource_tracker" not in command and _is_of(folder, proc, command):
                found[int(proc.name)] = command
    return found


def _is_of(folder: Path, proc: Path, command: str) -> bool:
    """By its environment; servers that write their title over that, by the folder they work in."""
    mark = f"{FOLDER}={folder}".encode()
    return (
        str(folder) in command
        or mark in (proc / "environ").read_bytes().split(b"\0")
        or (proc / "cwd").readlink().is_relative_to(folder)
    )


if __name__ == "__main__":
    run = os.getppid()
    while os.getppid() == run:
        time.sleep(0.2)
    sweep(Path(sys.argv[1]))
