"""The number of processors that this process may use: its CPU affinity and the limits of its control groups."""

import math
import os
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


def available_cpus(groups: Path = GROUPS, own_group: Path = OWN_GROUP) -> int:
    """At least 1. A limit of a part of a processor is rounded up: 1.5 processors are 2."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *_limits(groups, own_group)]))


def _limits(groups: Path, own_group: Path) -> list[int]:
    """The limits of the own control group and of those that contain it (cgroup v2, ``cpu.max``)."""
    try:
        line = next(line for line in own_group.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):  # not Linux, or cgroup v1
        return []
    folder = groups / line.removeprefix("0::").strip("/")
    found = []
    for each in (folder, *folder.parents):
        if not each.is_relative_to(groups):
            break
        try:
            quota, period = (each / "cpu.max").read_text().split()
        except OSError:  # the root has none, and neither has a group without the controller
            continue
        if quota != "max":
            found.append(math.ceil(int(quota) / int(period)))
    return found
