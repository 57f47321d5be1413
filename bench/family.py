"""A program with all processes that it starts: measured together and ended together.

They are found by a mark in their environment, which a wrapper passes on, and which a process of another session or without a parent keeps.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

MARK: Final = "RESTWELL_BENCH"
"""Holds the process id of the bench, and a name of the family."""
STOP_SECONDS: Final = 10.0
KILL_SECONDS: Final = 5.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Family:
    """Start a program with ``environment()``, and it is one."""

    def __init__(self) -> None:
        self._mark = f"{os.getpid()}-{uuid4().hex}"

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**variables, MARK: self._mark}

    def processes(self) -> list[int]:
        return [pid for pid, mark in _marked() if mark == self._mark]

    def cpu_seconds(self) -> float:
        """What its processes have used so far, all together."""
        fields = (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in self.processes())
        return sum(int(one[11]) + int(one[12]) for one in fields if one) / _TICKS

    def resident_mb(self) -> float:
        """The memory that its processes hold now, all together; what several share counts once (PSS)."""
        return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self.processes()) / 1024

    def peak_mb(self) -> float:
        """The sum of the most that each of its processes has held; what several share counts for each."""
        return sum(_kilobytes(f"/proc/{pid}/status", "VmHWM:") for pid in self.processes()) / 1024

    def end(self) -> None:
        """End all of its processes: by SIGTERM, and those that are left after STOP_SECONDS by SIGKILL. Raises SystemExit if one stays."""
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            deadline = time.monotonic() + seconds
            told: set[int] = set()
            while left := self.processes():
                if time.monotonic() > deadline:
                    break
                for pid in set(left) - told:  # a wrapper may start another while it is told to end
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                told.update(left)
                time.sleep(0.02)
        if left := self.processes():
            raise SystemExit(f"processes {left} cannot be ended, and would disturb every later figure")


def refuse_leftovers() -> None:
    """Raise SystemExit if processes of an earlier run are left, which disturb every figure."""
    left = [pid for pid, mark in _marked() if not Path(f"/proc/{mark.partition('-')[0]}").exists()]
    if left:
        pids = " ".join(map(str, left))
        raise SystemExit(
            f"processes of an earlier run are left, and would disturb every figure; end them first: kill -9 {pids}"
        )


def _marked() -> Iterator[tuple[int, str]]:
    """Every process that a bench has started, with its mark. One that has ended, and is not yet waited for, has no environment."""
    beginning = f"{MARK}=".encode()
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
