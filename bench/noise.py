"""Says whether a machine was quiet enough for a figure to count.

A timed run is disturbed if another process used more than MAX_OTHER of a core, or if the hypervisor took more than
MAX_STEAL of it. A result is refused if a run stays disturbed, or if the rounds of a contender differ by more than
MAX_SPREAD of their median.
"""

import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import reaper  # tests/support, which process_tree has put on the path

MAX_OTHER: Final = 0.02
MAX_STEAL: Final = 0.02
MAX_SPREAD: Final = 0.15
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KTHREADD: Final = 2
"""The parent of the kernel's threads. They work for the benchmark too."""


class NoiseMeter:
    """Around a timed run, after ``clean_up_at_exit``: ``disturbances`` then names what else used the processor."""

    def __init__(self) -> None:
        self._folder = Path(os.environ[reaper.FOLDER])
        self.disturbances: list[str] = []

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._steal, self._ticks = _steal_ticks(), _ticks_by_process()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        seconds = time.monotonic() - self._began
        steal = (_steal_ticks() - self._steal) / _TICKS / seconds
        after = _ticks_by_process()
        own = {os.getpid(), *reaper.processes_of(self._folder)}
        used = {pid: (ticks - self._ticks.get(pid, 0)) / _TICKS / seconds for pid, ticks in after.items()}
        busy = [pid for pid, cores in used.items() if cores > MAX_OTHER and pid not in own]
        self.disturbances = [f"process {pid} ({_name(pid)}) used {used[pid]:.0%} of a core" for pid in busy]
        if steal > MAX_STEAL:
            self.disturbances.append(f"{steal:.0%} of a core was stolen")


def spread(rates: Sequence[float]) -> float:
    """The difference between the fastest and the slowest round, relative to the median."""
    return (max(rates) - min(rates)) / statistics.median(rates)


def uneven_rounds(workloads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The contenders whose rounds differ too much, of the results of ``routes.py``."""
    spreads = {
        f"{workload} {name}": spread([run["rate"] for run in result["runs"]])
        for workload, results in workloads.items()
        for name, result in results.items()
    }
    return [f"{one}: its rounds differ by {by:.0%}" for one, by in spreads.items() if by > MAX_SPREAD]


def refuse_if_noisy(out: Path | None, noise: Sequence[str]) -> None:
    """Print the noise. Raises SystemExit if a result was to be written to ``out``."""
    for one in noise:
        print(f"noise: {one}", file=sys.stderr)
    if noise and out is not None:
        raise SystemExit(f"the machine was not quiet: {out} is not written")


def _ticks_by_process() -> dict[int, int]:
    """The CPU time of each process so far, without the kernel's threads."""
    ticks = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) != _KTHREADD:
            ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    return ticks


def _steal_ticks() -> int:
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"
