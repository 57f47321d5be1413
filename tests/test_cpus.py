"""The number of processors follows CPU affinity and the limits of control groups."""

import os
from pathlib import Path

import pytest

from restwell._cpus import available_cpus, memory_limit
from restwell.settings import Settings


@pytest.fixture
def of_16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(16)), raising=False)


def limited(folder: Path, own: str, **limits: str) -> int:
    """The processors of a process in the group ``own``, with ``cpu.max`` of a (outer) and b (inner)."""
    for name, group in (("outer", folder / "groups/a"), ("inner", folder / "groups/a/b")):
        group.mkdir(parents=True, exist_ok=True)
        if name in limits:
            (group / "cpu.max").write_text(limits[name] + "\n")
    (folder / "own").write_text(own)
    return available_cpus(folder / "groups", folder / "own")


@pytest.mark.usefixtures("of_16")
def test_the_smallest_limit_counts_and_a_part_of_a_processor_is_one(tmp_path: Path) -> None:
    """Fails if only the own group is read: a limit of the pod then has no effect on its containers."""
    assert limited(tmp_path, "0::/a/b\n") == 16
    assert limited(tmp_path, "0::/a/b\n", inner="max 100000") == 16
    assert limited(tmp_path, "0::/a/b\n", inner="400000 100000") == 4
    assert limited(tmp_path, "0::/a/b\n", outer="150000 100000") == 2
    assert limited(tmp_path, "0::/a/b\n", outer="20000 100000") == 1


@pytest.mark.usefixtures("of_16")
def test_without_cgroup_v2_the_affinity_counts(tmp_path: Path) -> None:
    assert limited(tmp_path, "2:cpu:/a/b\n", inner="100000 100000") == 16
    assert available_cpus(tmp_path / "groups", tmp_path / "missing") == 16


def test_the_smallest_limit_of_the_memory_counts(tmp_path: Path) -> None:
    """Fails if only the own group is read, or if the memory of the machine is not a limit."""
    machine = memory_limit(tmp_path, tmp_path / "missing")
    assert machine is not None
    for group, text in (("a", "2000000"), ("a/b", "max")):
        (tmp_path / "groups" / group).mkdir(parents=True)
        (tmp_path / "groups" / group / "memory.max").write_text(f"{text}\n")
    (tmp_path / "own").write_text("0::/a/b\n")
    assert memory_limit(tmp_path / "groups", tmp_path / "own") == 2_000_000
    (tmp_path / "groups/a/memory.max").write_text(f"{2**60}\n")
    assert memory_limit(tmp_path / "groups", tmp_path / "own") == machine


def test_without_affinity_the_processors_of_the_machine_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert available_cpus(tmp_path, tmp_path / "missing") == 8


def test_automatic_workers_are_one_for_each_processor() -> None:
    assert Settings.load({"WORKERS": "auto"}).workers == available_cpus()
