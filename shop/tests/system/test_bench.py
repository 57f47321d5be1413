"""The benchmark runs, and the README shows its results."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from process_tree import MARKER, ProcessTree
from report import chart, readme_with  # modules of the benchmark
from servers import ROOT


def bench(*command: str) -> str:
    for remaining in (2, 1, 0):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
        if remaining and "failed requests:" in done.stderr + done.stdout:
            continue  # the machine is so busy that the server refuses some with 503
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    raise AssertionError


def test_a_quick_run_of_the_bench_compares_verified_answers() -> None:
    """The command installs the dependencies of the contenders."""
    output = bench("make", "bench", "QUICK=1", "ONLY=W1,W5,express,raw-asgi")
    assert "disqualified" not in output
    for work, names in {"W1": ("restwell", "express", "raw-asgi"), "W5": ("restwell", "express")}.items():
        table = output.partition(f"{work} ")[2].partition("W5 ")[0] if work == "W1" else output.partition("W5 ")[2]
        for name in names:
            assert re.search(rf"{name} .*[1-9][\d,]*", table), output


def test_a_contender_that_answers_wrongly_is_not_timed() -> None:
    """This contender does not write its log as JSON."""
    wrong = ("wrong=src,LOG_FORMAT=pretty", "--only=W1", "--quick")
    output = bench(sys.executable, "bench/routes.py", *wrong)
    assert "wrong is disqualified: W1: " in output
    assert not re.search(r"│ wrong", output)


def test_the_readme_shows_the_results_of_the_bench() -> None:
    """Breaks when a figure is typed into the README."""
    found = json.loads((ROOT / "bench/results/peers.json").read_text())
    readme = (ROOT / "README.md").read_text()
    assert readme_with(readme, found) == readme
    assert chart(found) == (ROOT / "bench/results/peers.svg").read_text()


WRAPPER = """
import os, signal, subprocess, sys, time
if sys.argv[1:] == ["child"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    filled = b"x" * 50_000_000
    end = time.process_time() + 0.5
    while time.process_time() < end: pass
    print("ready", flush=True)
    time.sleep(600)
subprocess.Popen([sys.executable, __file__, "child"])
time.sleep(600)
"""


@contextmanager
def started_wrapper(tmp_path: Path, tree: ProcessTree) -> Iterator[subprocess.Popen[bytes]]:
    """A wrapper like ``bin/node``. Its child, the server, is in another session and gets no signal when it exits."""
    script = tmp_path / "wrapper.py"
    script.write_text(WRAPPER)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, env=tree.environment(os.environ), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            for pid in tree.processes():
                os.kill(pid, signal.SIGKILL)


def test_a_contender_is_measured_and_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when only the started process is ended or measured, and not its children."""
    monkeypatch.setattr("process_tree.STOP_SECONDS", 0.2)
    tree = ProcessTree()
    with started_wrapper(tmp_path, tree) as process:
        assert len(tree.processes()) == 2
        assert tree.cpu_seconds() >= 0.5
        assert 50 < tree.resident_mb() <= tree.peak_mb()
        tree.terminate()
        assert process.wait(10) == -signal.SIGTERM
        assert tree.processes() == []


def test_a_contender_that_cannot_be_ended_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the bench does not check that all processes of a contender have ended."""
    monkeypatch.setattr("process_tree.STOP_SECONDS", 0.1)
    monkeypatch.setattr("process_tree.KILL_SECONDS", 0.1)
    tree = ProcessTree()
    with started_wrapper(tmp_path, tree), monkeypatch.context() as patched:
        patched.setattr("process_tree.os.kill", lambda *_: None)
        with pytest.raises(SystemExit, match="cannot be terminated"):
            tree.terminate()


def test_processes_of_an_earlier_run_of_the_bench_are_named() -> None:
    """Breaks without the check for remaining processes: a server that still runs disturbs every later measurement."""
    with subprocess.Popen(["true"]) as exited:
        pass
    with subprocess.Popen(["sleep", "600"], env={**os.environ, MARKER: f"{exited.pid}-earlier"}) as leftover:
        try:
            command = [sys.executable, "bench/routes.py", "--quick"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        finally:
            leftover.kill()
    assert done.returncode == 1
    assert re.search(rf"processes of an earlier run are still running.*: kill -9 .*\b{leftover.pid}\b", done.stderr), (
        done.stderr
    )
