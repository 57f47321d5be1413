"""A program with all of its descendant processes, measured and terminated together.

They are found by an environment variable, which child processes inherit, also in another session or without a parent.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

import reaper  # after the path is set

MARKER: Final = "RESTWELL_BENCH"
"""Its value is the process id of the benchmark and a unique id of the tree."""
STOP_SECONDS: Final = 10.0
KILL_SECONDS: Final = 5.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ProcessTree:
    """The processes of a program that is started with ``environment()``."""

    def __init__(self) -> None:
        self._marker = f"{os.getpid()}-{uuid4().hex}"

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**variables, MARKER: self._marker}

    def processes(self) -> list[int]:
        return [pid for pid, marker in _marked_processes() if marker == self._marker]

    def cpu_seconds(self) -> float:
        """The CPU time of all processes so far."""
        fields = (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in self.processes())
        return sum(int(one[11]) + int(one[12]) for one in fields if one) / _TICKS

    def resident_mb(self) -> float:
        """The proportional set size (PSS) of all processes: shared memory counts once."""
        return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self.processes()) / 1024

    def peak_mb(self) -> float:
        """The sum of the peak resident set sizes of all processes: shared memory counts for each."""
        return sum(_kilobytes(f"/proc/{pid}/status", "VmHWM:") for pid in self.processes()) / 1024

    def terminate(self) -> None:
        """Terminate all processes: SIGTERM, then SIGKILL after STOP_SECONDS. Raises SystemExit if one remains."""
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            deadline = time.monotonic() + seconds
            signalled: set[int] = set()
            while remaining := self.processes():
                if time.monotonic() > deadline:
                    break
                for pid in set(remaining) - signalled:  # a wrapper may start another process meanwhile
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                signalled.update(remaining)
                time.sleep(0.02)
        if remaining := self.processes():
            raise SystemExit(f"processes {remaining} cannot be terminated and would distort later results")


def server_cpu_seconds(pid: int, *children: int) -> float:
    """The CPU time of a server and its children so far, also of those that have ended."""
    server, *others = (_read(f"/proc/{each}/stat").rpartition(")")[2].split() for each in (pid, *children))
    return (sum(map(int, server[11:15])) + sum(int(each[11]) + int(each[12]) for each in others if each)) / _TICKS


def clean_up_at_exit() -> None:
    """End all processes and remove all temporary files of this program when it ends, even if it is killed."""
    if reaper.FOLDER in os.environ:
        return  # the test run does it
    folder = Path(tempfile.mkdtemp(prefix="restwell-bench-"))
    folder.chmod(0o711)  # PostgreSQL has a folder there, and another user
    reaper.watched(folder)
    os.environ |= {reaper.FOLDER: str(folder), "TMPDIR": str(folder)}
    tempfile.tempdir = None


def check_no_leftovers() -> None:
    """Raise SystemExit if processes of an earlier run are still running: they would distort the results."""
    remaining = [pid for pid, marker in _marked_processes() if not Path(f"/proc/{marker.partition('-')[0]}").exists()]
    if remaining:
        pids = " ".join(map(str, remaining))
        raise SystemExit(
            f"processes of an earlier run are still running and would distort the results; end them: kill -9 {pids}"
        )


def _marked_processes() -> Iterator[tuple[int, str]]:
    """Every process that a benchmark has started, with its marker. A zombie process has no environment."""
    beginning = f"{MARKER}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                if variable.startswith(beginning):
                    yield int(folder.name), variable.removeprefix(beginning).decode(errors="replace")


def _kilobytes(path: str, name: str) -> int:
    return next((int(line.split()[1]) for line in _read(path).splitlines() if line.startswith(name)), 0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
