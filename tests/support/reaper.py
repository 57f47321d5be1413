"""Ends the processes and removes the folder of a test run, also when the run is killed.

The folder is the ``TMPDIR`` of the run, and is in the environment of all its processes.
``python reaper.py FOLDER`` waits for the end of its parent.
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
"""How long a killed process may take to end."""


def watched(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that cleans up when this one ends."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    return subprocess.Popen([sys.executable, __file__, str(folder)], env=environment, start_new_session=True)


def sweep(folder: Path) -> list[str]:
    """Kill the processes of the run and remove its folder. Returns the command lines of the killed processes."""
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
    """The command lines of the processes of the run, without this one."""
    found = {}
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is another user's
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Python's resource tracker ends with its process.
            if int(proc.name) != os.getpid() and "resource_tracker" not in command and _is_of(folder, proc, command):
                found[int(proc.name)] = command
    return found


def _is_of(folder: Path, proc: Path, command: str) -> bool:
    """By its environment, or by its working directory: some servers overwrite their environment with a title."""
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
