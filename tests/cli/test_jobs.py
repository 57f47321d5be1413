"""``restwell jobs``: what an operator sees and does with jobs."""

import asyncio
from pathlib import Path

import pytest

import sample_jobs
from environments import migrated
from jobs_harness import open_harness
from restwell.ids import new_id
from servers import restwell

pytestmark = pytest.mark.integration


@pytest.fixture
async def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of an application with two dead jobs and one that is done."""
    found = await migrated(tmp_path / "jobs.db", "jobs_app.app")
    async with open_harness(found["DATABASE_URL"], sample_jobs.ALL, make=False) as harness, harness.worker():
        for job in (sample_jobs.fail_permanently, sample_jobs.raise_system_exit):
            await harness.enqueue(job)
        await harness.enqueue(sample_jobs.square, number=3)
        assert await harness.wait_until_finished() == ["dead", "dead", "done"]
    return found


async def run(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(restwell, "jobs", *arguments, cwd=folder, **environment)
    return done.returncode, done.stdout or done.stderr  # in development mode asyncio warns of slow callbacks


def ids_in(listed: str, name: str) -> list[str]:
    return [line.split()[0] for line in listed.splitlines() if f" {name} " in line]


async def test_dead_jobs_are_listed_retried_cancelled_and_discarded(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, listed = await run(environment, tmp_path, "list")
    assert code == 0
    assert "PermanentFailure: the address does not exist" in listed
    assert listed.endswith("2 dead in default\n")
    [dead] = ids_in(listed, "fail_permanently")
    code, shown = await run(environment, tmp_path, "show", dead)
    assert code == 0
    assert "attempt 1 failed at" in shown
    assert await run(environment, tmp_path, "retry", dead) == (0, "1 retried\n")
    code, ready = await run(environment, tmp_path, "list", "--state=ready", "--name=fail_permanently")
    assert (code, ids_in(ready, "fail_permanently")) == (0, [dead])
    assert ready.endswith("1 dead in default; 1 ready in default\n")
    assert await run(environment, tmp_path, "cancel", dead) == (0, "1 cancelled\n")
    assert await run(environment, tmp_path, "retry", dead) == (0, "1 retried\n")
    await run(environment, tmp_path, "cancel", dead)
    assert await run(environment, tmp_path, "discard", dead) == (0, "1 discarded\n")
    code, rest = await run(environment, tmp_path, "list")
    assert (code, len(ids_in(rest, "raise_system_exit")), rest.count(dead)) == (0, 1, 0)


async def test_a_job_is_shown_without_commands_to_the_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    """Fails if an argument or an error, which a client may have chosen, clears the terminal or sets its title."""
    text = "\x1b]0;title\x07\x9b2J\rdone"
    async with open_harness(environment["DATABASE_URL"], sample_jobs.ALL, make=False) as harness, harness.worker():
        job_id = str(await harness.enqueue(sample_jobs.fail_permanently, text=text))
        await harness.wait_until_finished()
    escaped = r"PermanentFailure: \x1b]0;title\x07\x9b2J\rdone"
    code, shown = await run(environment, tmp_path, "show", job_id)
    assert (code, shown.splitlines()[-1]) == (0, f"  restwell.errors.{escaped}")
    assert r"\u001b]0;title\u0007\x9b2J\rdone" in shown
    code, listed = await run(environment, tmp_path, "list")
    assert (code, escaped in listed) == (0, True)
    assert all(each.isprintable() or each == "\n" for each in shown + listed)


async def test_all_jobs_that_match_are_changed_by_a_worker(environment: dict[str, str], tmp_path: Path) -> None:
    code, said = await run(environment, tmp_path, "retry", "--name=fail_permanently")
    assert (code, said.partition(" as job ")[0]) == (0, "1 match; a worker changes them")
    code, listed = await run(environment, tmp_path, "changes")
    assert (code, listed.splitlines()[-1].split()[1:4]) == (0, ["retry", "dead", "fail_permanently"])
    assert listed.split()[-3:] == ["0", "0", "ready"]


async def test_a_queue_is_paused_and_resumed(environment: dict[str, str], tmp_path: Path) -> None:
    assert await run(environment, tmp_path, "pause", "default") == (0, "default is paused\n")
    code, listed = await run(environment, tmp_path, "list")
    assert (code, listed.splitlines()[-1]) == (0, "2 dead in default; default is paused")
    code, listed = await run(environment, tmp_path, "queues")
    assert (code, listed.splitlines()[-2].split()[:4]) == (0, ["default", "2", "since", listed.split()[-4]])
    assert await run(environment, tmp_path, "resume", "default") == (0, "default is resumed\n")
    assert await run(environment, tmp_path, "resume", "default") == (0, "default was not paused\n")
    code, listed = await run(environment, tmp_path, "cron")
    assert (code, listed.splitlines()[-1].split()[0]) == (0, "restwell.clean_up")


async def test_an_error_is_one_line_with_exit_code_2(environment: dict[str, str], tmp_path: Path) -> None:
    [done] = ids_in((await run(environment, tmp_path, "list", "--state=done"))[1], "square")
    for arguments, words in {
        ("retry", done): "Only a dead or cancelled job can be retried.",
        ("show", str(new_id())): "The resource does not exist.",
        ("retry",): "give the ids of jobs, or --state, --queue or --name for all jobs that match",
        (
            "discard",
            done,
            "--state=done",
        ): "give the ids of jobs, or --state, --queue or --name for all jobs that match",
        ("cancel", "--state=done"): "cancel changes jobs that are scheduled, ready, running, parked; these are done.",
        ("list", "--state=ready", f"--before={done}"): f"--before={done} is done: start again without it",
        ("pause", "mial"): "No job uses the queue mial. The queues are default, restwell.",
    }.items():
        assert await run(environment, tmp_path, *arguments) == (2, f"restwell: {words}\n")
