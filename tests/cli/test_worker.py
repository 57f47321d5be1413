"""The worker processes of ``restwell worker``: crashes, shutdown and replacement."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sample_jobs
from jobs_harness import JobsHarness, open_harness
from processes import children_of
from servers import RESTWELL, ROOT, SUPPORT, restwell, serve, wait_until, working

pytestmark = pytest.mark.integration

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
"""For tests that do not depend on the database."""


@pytest.fixture
async def harness(empty_url: str) -> AsyncIterator[JobsHarness]:
    async with open_harness(empty_url, sample_jobs.ALL, make=False) as made:
        done = restwell("migrate", cwd=ROOT, **environment(made))
        assert done.returncode == 0, done.stderr
        yield made


def environment(harness: JobsHarness) -> dict[str, Any]:
    return {
        "RESTWELL_APP": "jobs_app.app:project",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": harness.url,
        "LOG_FORMAT": "json",
    }


def _lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def worker_of(supervisor: int) -> int:
    (child,) = children_of(supervisor)
    return child


async def test_the_jobs_of_a_killed_worker_are_resumed_without_waiting_for_the_lease(
    harness: JobsHarness, tmp_path: Path
) -> None:
    """Breaks without ``expire_leases``: the jobs wait 30 seconds for their leases, as after the loss of a machine."""
    job_ids = [await harness.enqueue(sample_jobs.sleep, seconds=1.0) for _ in range(3)]
    with working(tmp_path, **environment(harness)) as served:
        await harness.wait_for_states(lambda states: states == ["running"] * 3)
        first = worker_of(served.process.pid)
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        assert await harness.wait_until_finished(60) == ["done"] * 3
        assert time.monotonic() - began < 29  # the lease is 30 seconds
        assert worker_of(served.process.pid) != first
    for job_id in job_ids:
        assert [one.error.partition(":")[0] for one in await harness.jobs.failures(job_id)] == ["lease expired"]
        assert (await harness.jobs.get(job_id)).attempts == 2


async def test_a_job_that_kills_its_worker_is_dead_after_its_attempts_and_harms_no_other_job(
    harness: JobsHarness, tmp_path: Path
) -> None:
    """Breaks if a job whose worker died does not run isolated: it kills the worker of the other jobs again."""
    poison = await harness.enqueue(sample_jobs.poison)
    others = [await harness.enqueue(sample_jobs.sleep.with_options(max_attempts=2), seconds=0.3) for _ in range(5)]
    with working(tmp_path, **environment(harness)):
        states = await harness.wait_until_finished(60)
    assert sorted(states) == ["dead"] + ["done"] * 5
    found = await harness.jobs.get(poison)
    assert (found.state, found.attempts) == ("dead", 3)
    assert [one.attempt for one in await harness.jobs.failures(poison)] == [3, 2, 1]
    assert {(await harness.jobs.get(other)).state for other in others} == {"done"}


@on_sqlite
async def test_a_worker_drains_on_sigint_and_exits_with_zero(harness: JobsHarness, tmp_path: Path) -> None:
    job_id = await harness.enqueue(sample_jobs.sleep, seconds=1.0)
    with working(tmp_path, **environment(harness)) as served:
        await harness.wait_for_states(lambda states: states == ["running"])
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(10) == 0
    assert (await harness.jobs.get(job_id)).state == "done"


@on_sqlite
async def test_all_workers_drain_when_their_supervisor_is_killed(harness: JobsHarness, tmp_path: Path) -> None:
    """Breaks if a worker waits for the pipe of its parent to close: a sibling that was forked later keeps it open."""
    for _ in range(6):
        await harness.enqueue(sample_jobs.sleep, seconds=3.0)
    with working(tmp_path, "--processes=3", "--concurrency=1", **environment(harness)) as served:
        await harness.wait_for_states(lambda states: states.count("running") == 3)
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    assert sorted(await harness.states()) == ["done"] * 3 + ["ready"] * 3


@on_sqlite
async def test_a_worker_is_replaced_after_max_jobs(harness: JobsHarness, tmp_path: Path) -> None:
    liveness_file = tmp_path / "alive"
    for number in range(4):
        await harness.enqueue(sample_jobs.note, text=str(number))
    with working(
        tmp_path, "--max-jobs=2", "--concurrency=1", f"--liveness-file={liveness_file}", **environment(harness)
    ) as served:
        assert await harness.wait_until_finished() == ["done"] * 4
        wait_until(lambda: served.output.count("worker_stopped") == 2)
        assert "worker_died" not in served.output
        touched = liveness_file.stat().st_mtime
        wait_until(lambda: liveness_file.stat().st_mtime > touched)
    assert {line["waited_seconds"] < 60 for line in _lines(served.output) if line["event"] == "job"} == {True}


@on_sqlite
async def test_the_development_server_runs_jobs(harness: JobsHarness, tmp_path: Path) -> None:
    await harness.enqueue(sample_jobs.note, text="in development")
    await harness.enqueue(sample_jobs.fail_permanently)
    await harness.enqueue(sample_jobs.note.with_options(delay_seconds=600), text="later")
    with serve(tmp_path, RESTWELL, "dev", **environment(harness)) as served:
        await harness.wait_for_states(lambda states: sorted(states) == ["dead", "done", "scheduled"])
        expected = {
            'restwell_jobs_attempt_duration_seconds_count{job_name="note",outcome="done"} 1.0',
            'restwell_jobs_attempt_duration_seconds_count{job_name="fail_permanently",outcome="dead"} 1.0',
            'restwell_jobs_backlog{queue="default",state="dead"} 1.0',
            'restwell_jobs_backlog{queue="default",state="scheduled"} 1.0',
        }
        wait_until(lambda: expected <= set(httpx.get(f"{served.url}/metrics").text.splitlines()))


@on_sqlite
async def test_the_worker_command_rejects_invalid_options_at_startup(harness: JobsHarness, tmp_path: Path) -> None:
    refused = restwell("worker", "--queues=default,mails", cwd=tmp_path, **environment(harness))
    assert (refused.returncode, refused.stderr) == (
        2,
        "restwell: queue mails has no jobs; the queues are default, restwell\n",
    )
    liveness_file = tmp_path / "gone" / "alive"
    refused = restwell("worker", f"--liveness-file={liveness_file}", cwd=tmp_path, **environment(harness))
    assert (refused.returncode, refused.stderr) == (
        2,
        f"restwell: --liveness-file={liveness_file} cannot be written: No such file or directory\n",
    )
    unmigrated = {**environment(harness), "DATABASE_URL": f"sqlite:///{tmp_path / 'things.db'}"}
    assert "restwell migrate" in restwell("worker", cwd=tmp_path, **unmigrated).stderr


@on_sqlite
async def test_a_worker_with_a_blocked_event_loop_exits_and_logs_its_stack(
    harness: JobsHarness, tmp_path: Path
) -> None:
    """Breaks without the check of the event loop: the heartbeat extends the leases of a blocked worker forever."""
    await harness.enqueue(sample_jobs.block_event_loop.with_options(max_attempts=1), seconds=600)
    await harness.enqueue(sample_jobs.note, text="behind it")
    with working(tmp_path, **environment(harness), JOBS_APP_BLOCKED_SECONDS="1") as served:
        assert sorted(await harness.wait_until_finished(60)) == ["dead", "done"]
    assert "worker_blocked" in served.output
    assert "in block_event_loop" in served.output, "the stack of the job"
