"""The benchmark runs, and the README shows its results."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import reaper
from noise import NoiseMeter, refuse_if_noisy, uneven_rounds
from process_tree import MARKER, ProcessTree, server_cpu_seconds
from report import chart, readme_with  # modules of the benchmark
from servers import ROOT, wait_until


def test_a_quick_run_of_the_bench_compares_verified_answers_and_writes_nothing_if_it_was_disturbed(
    tmp_path: Path,
) -> None:
    """The command installs the dependencies of the contenders. One of them does not write its log as JSON.

    Fails if the bench times a contender that failed its checks, or writes a result although it reports noise.
    """
    result = tmp_path / "result.json"
    arguments = f"--rows=2000 --out={result} wrong=src:shop/src,LOG_FORMAT=pretty"
    command = ["make", "bench", "QUICK=1", "ONLY=W1,W5,express,raw-asgi", f"ARGS={arguments}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    output = done.stdout
    is_noisy = "noise: " in done.stderr
    assert (done.returncode != 0, result.exists()) == (is_noisy, not is_noisy), output + done.stderr
    assert re.search(r"node\s+v\d+\.\d+\.\d+", output)
    assert re.findall(r"(\S+) is disqualified: (W1): ", output) == [("wrong", "W1")]
    assert not re.search(r"│ wrong", output)
    for work, names in {"W1": ("restwell", "express", "raw-asgi"), "W5": ("restwell", "express")}.items():
        table = output.partition(f"{work} ")[2].partition("W5 ")[0] if work == "W1" else output.partition("W5 ")[2]
        for name in names:
            assert re.search(rf"{name} .*[1-9][\d,]*", table), output


@contextmanager
def busy_process(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


OTHERS = {name: value for name, value in os.environ.items() if name != reaper.FOLDER}
"""The environment of a process that is not part of the benchmark."""


def test_a_run_is_disturbed_by_other_processes_and_not_by_those_of_the_benchmark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fails if the meter compares no CPU times, or counts the server and the load generator as noise."""
    monkeypatch.setenv(reaper.FOLDER, str(tmp_path))
    with busy_process({**OTHERS, reaper.FOLDER: str(tmp_path)}) as own, busy_process(OTHERS) as other:
        with NoiseMeter() as noise:
            wait_until(lambda: all(server_cpu_seconds(process.pid) > 0.2 for process in (own, other)))
        text = " ".join(noise.disturbances)
        assert f"process {other.pid} " in text
        assert f"process {own.pid} " not in text


def test_uneven_rounds_are_noise_and_no_result_is_written() -> None:
    """Fails if the spread of the rounds is not compared, or if a noisy result is written."""
    rounds = {"even": [100.0, 107.0, 114.0], "uneven": [100.0, 107.0, 117.0]}
    results = {name: {"runs": [{"rate": rate} for rate in rates]} for name, rates in rounds.items()}
    noise = uneven_rounds({"W2": results})
    assert noise == ["W2 uneven: its rounds differ by 16%"]
    with pytest.raises(SystemExit, match="not written"):
        refuse_if_noisy(Path("result.json"), noise)
    refuse_if_noisy(None, noise)
    refuse_if_noisy(Path("result.json"), [])


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
        assert -process.wait(10) in {signal.SIGTERM, signal.SIGKILL}  # a busy machine may not schedule it within 0.2 s
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


def test_a_killed_bench_leaves_no_process_and_no_folder() -> None:
    """Fails if the bench does not start the process that cleans up: its PostgreSQL keeps running."""
    environment = {name: value for name, value in os.environ.items() if name != reaper.FOLDER}
    command = [sys.executable, "bench/routes.py", "--quick", "--only=W1,raw-asgi"]
    output, temporary = subprocess.DEVNULL, Path(tempfile.gettempdir())
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as run:
        try:
            wait_until(lambda: list(temporary.glob("restwell-bench-*/*/data/postmaster.pid")) != [], run)
        finally:
            run.kill()
    (folder,) = temporary.glob("restwell-bench-*")
    wait_until(lambda: not folder.exists())
    wait_until(lambda: reaper.processes_of(folder) == {})  # the reaper itself ends last
