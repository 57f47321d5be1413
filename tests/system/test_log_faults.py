"""An unwritable log: a closed or unread pipe, or a full disk.

Responses are unaffected, and dropped lines are counted.
"""

import fcntl
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

import sample_jobs
from api_client import assert_problem
from environments import migrated
from jobs_harness import open_harness
from processes import RUN, assert_nothing_left, children_of
from scoreboard import Score
from servers import RESTWELL, Served, serve, serve_into, wait_until

BOUND_SECONDS = 1.0
"""The time limit of a response on a busy machine. Before the fix there was no response."""
MARK = pytest.mark.scoreboard(
    "T3",
    "log sink gone, full or not read",
    "answers unchanged; no worker stopped; dropped lines counted",
    backend="SQLite",
)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def full_device() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    with suppress(OSError):
        while True:
            os.write(descriptor, b"." * 4_095 + b"\n")
    os.set_blocking(descriptor, True)


@contextmanager
def unread_pipe() -> Iterator[int]:
    """A full pipe without a reader."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    fill(writing)
    yield writing
    os.close(reading)
    os.close(writing)


Sink = Callable[[], AbstractContextManager[int]]
FAILING: list[Sink] = [closed_pipe, full_device]


@pytest.fixture
async def env(tmp_path: Path) -> dict[str, str]:
    return {**await migrated(tmp_path / "tiny.db", "tiny.app"), "REQUEST_TIMEOUT_SECONDS": "0.5"}


def assert_answers(served: Served, database: Path) -> None:
    """Assert that each kind of response is as documented and in time."""
    notes = f"{served.url}/v1/notes"
    for _ in range(2):  # the second time, the log of the first has been written or has failed
        assert timed("GET", f"{notes}/greeting").text == "hello"
        assert timed("GET", f"{served.url}/health/live").status_code == 200
        assert_problem(timed("POST", notes, {"text": ""}), 422, "invalid")
        assert_problem(timed("GET", f"{notes}/1/broken"), 500, "internal_error")
        assert_problem(timed("GET", f"{served.url}/nowhere"), 404, "not_found")
    with sqlite3.connect(database, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        busy = httpx.post(notes, json={"text": "late"})
        other.execute("ROLLBACK")
    other.close()
    assert busy.status_code == 503
    assert busy.json()["status"] == 503


def timed(method: str, url: str, body: object = None) -> httpx.Response:
    began = time.monotonic()
    answer = httpx.request(method, url, json=body, timeout=10)
    assert time.monotonic() - began < BOUND_SECONDS
    return answer


def dropped_lines(served: Served) -> int:
    found = re.search(
        r"^restwell_log_lines_dropped_total (\S+)$", httpx.get(f"{served.url}/metrics").text, re.MULTILINE
    )
    assert found is not None
    return int(float(found[1]))


def assert_stops(served: Served) -> float:
    """Assert a quick and graceful stop. Returns the seconds."""
    began = time.monotonic()
    served.process.terminate()
    assert served.process.wait(15) == 0
    return time.monotonic() - began


@MARK
@pytest.mark.parametrize("sink", FAILING, ids=lambda sink: sink.__name__)
def test_an_unwritable_log_changes_no_answer_on_sqlite(
    sink: Sink, env: dict[str, str], tmp_path: Path, score: Score
) -> None:
    """Breaks when a write error is raised to the caller of the logger: 503s and 422s are then bare 500s."""
    with sink() as descriptor, serve_into(descriptor, tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served:
        workers = children_of(served.process.pid)
        assert_answers(served, tmp_path / "tiny.db")
        wait_until(lambda: dropped_lines(served) >= 10, served.process)
        assert children_of(served.process.pid) == workers
        score.note(f"{sink.__name__}: answers unchanged, {dropped_lines(served):,} lines dropped, all counted")
        score.note(f"stopped in {assert_stops(served):.1f} s")


@MARK
def test_an_unread_log_pipe_blocks_no_worker_on_sqlite(env: dict[str, str], tmp_path: Path, score: Score) -> None:
    """Breaks when the event loop writes the log: the worker then hangs, with its liveness route."""
    with (
        unread_pipe() as descriptor,
        serve_into(descriptor, tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served,
    ):
        workers = children_of(served.process.pid)
        assert_answers(served, tmp_path / "tiny.db")
        assert dropped_lines(served) == 0, "they wait in the buffer"
        assert children_of(served.process.pid) == workers
        score.note(f"not_read: answers unchanged; stopped in {assert_stops(served):.1f} s")


def test_a_server_with_closed_standard_streams_answers(env: dict[str, str], tmp_path: Path) -> None:
    """Breaks with an AttributeError on the missing stream, or when the next file or socket gets its descriptor."""
    command = ("sh", "-c", f"exec {RESTWELL} serve <&- >&- 2>&-")
    with serve(tmp_path, *command, cwd=tmp_path, **env) as served:
        for process in (served.process.pid, *children_of(served.process.pid)):
            assert {str(Path(f"/proc/{process}/fd/{number}").readlink()) for number in range(3)} == {os.devnull}
        assert_answers(served, tmp_path / "tiny.db")
        assert_stops(served)


@MARK
@pytest.mark.parametrize("sink", [closed_pipe, unread_pipe], ids=lambda sink: sink.__name__)
async def test_a_worker_runs_its_jobs_whatever_happens_to_its_log_on_sqlite(
    sink: Sink, tmp_path: Path, score: Score
) -> None:
    """Breaks when the worker exits because it cannot write a line, or blocks because the pipe is not read."""
    env = await migrated(tmp_path / "jobs.db", "jobs_app.app")
    run = f"log-{sink.__name__}-{os.getpid()}"
    async with open_harness(env["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        await harness.enqueue(sample_jobs.note, text="done")
        await harness.enqueue(sample_jobs.fail_permanently)
        await harness.enqueue(sample_jobs.log_in_process, text="loud")
        with sink() as descriptor:
            process = subprocess.Popen(  # noqa: ASYNC220  # the process is not awaited
                [RESTWELL, "worker"], env={**os.environ, **env, RUN: run}, stdout=descriptor, stderr=descriptor
            )
            try:
                assert sorted(await harness.wait_until_finished(60)) == ["dead", "done", "done"]
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == 0
            finally:
                process.kill()
                process.wait()
                assert_nothing_left(run)
    score.note(f"worker, {sink.__name__}: jobs done, stopped in order")
