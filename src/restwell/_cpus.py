"""The processors and the memory that this process may use: its CPU affinity and the limits of its control groups."""

import math
import os
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


def available_cpus(groups: Path = GROUPS, own_group: Path = OWN_GROUP) -> int:
    """At least 1. A limit of a part of a processor is rounded up: 1.5 processors are 2."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (text.split() for text in _limits("cpu.max", groups, own_group))
    return max(1, min([count, *(math.ceil(int(quota) / int(period)) for quota, period in quotas if quota != "max")]))


def memory_limit(groups: Path = GROUPS, own_group: Path = OWN_GROUP) -> int | None:
    """The memory in bytes that this process may use, or None where the system does not say."""
    found = [int(text) for text in _limits("memory.max", groups, own_group) if text != "max"]
    if "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _limits(name: str, groups: Path, own_group: Path) -> list[str]:
    """The values of a limit of the own control group and of those that contain it (cgroup v2)."""
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
            found.append((each / name).read_text().strip())
        except OSError:  # the root has none, and neither has a group without the controller
            continue
    return found
