"""J1 to J7: no job is lost, and no database effect is duplicated, after crashes, restarts and outages.

``BROKEN=name pytest -k J4`` runs a test on a build with the fault ``name`` of ``jobs_app/broken.py``, where it fails.
Each docstring lists the faults.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

import commands
import sample_jobs
from jobs_app import audit
from jobs_app.app import CRONS
from jobs_app.audit import enqueue_slow_effects, environment
from jobs_app.broken import VARIABLE, break_on_purpose
from jobs_harness import JobsHarness, open_harness
from processes import descendants_of
from rabbit import rabbit_program, rabbit_server
from restwell.database import DatabaseBusy
from scoreboard import Score
from servers import NEEDS, ROOT, redis_program, redis_server, restwell, working

PARALLEL_CRASHES: Final = 4
"""The number of concurrent crashes."""
DATABASES: Final = ["sqlite", "postgresql"]
COMBINATIONS: Final = [*DATABASES, "postgresql-redis", "postgresql-rabbitmq"]
without_brokers: Final = pytest.mark.parametrize("combination", Score.size(DATABASES, COMBINATIONS), indirect=True)
"""Faults of the database and of the workers: a broker only wakes a worker, so it takes part in full runs."""
FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture(params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    """The database and the broker, if any."""
    name: str = request.param
    return name


@pytest.fixture
def backend(combination: str) -> str:
    return combination.partition("-")[0]


@pytest.fixture
def broker_url(combination: str, request: pytest.FixtureRequest) -> str | None:
    broker = combination.partition("-")[2]
    url: str | None = request.getfixturevalue(f"{broker.removesuffix('mq')}_url") if broker else None
    return url


@pytest.fixture
async def harness(empty_url: str, broker_url: str | None) -> AsyncIterator[JobsHarness]:
    if os.environ.get(VARIABLE):
        break_on_purpose()
    async with open_harness(empty_url, sample_jobs.ALL, broker_url, make=False, name="jobs_app") as made:
        restwell("migrate", cwd=ROOT, **environment(made)).check_returncode()
        yield made


@pytest.mark.scoreboard(
    "J1", "kill -9 a worker mid-job x100, 1,000 jobs", "0 lost, 0 doubled database effects, resumed <= 35 s"
)
async def test_killed_workers_lose_no_job_and_duplicate_no_effect_j1(
    harness: JobsHarness, tmp_path: Path, score: Score
) -> None:
    """BROKEN=no-lease: the jobs of a killed worker never run. BROKEN=no-transaction: their effects are duplicated."""
    count, kills = score.size((40, 3), (1_000, 100))
    await enqueue_slow_effects(harness, count, 0.5, effect_at=0.2)
    with working(tmp_path, "--concurrency=4", **environment(harness)) as served:
        resumed = [await audit.kill_worker(harness, served, after_effect=not number) for number in range(kills)]
    with working(tmp_path, "--concurrency=16", **environment(harness)):
        await audit.wait_until_finished(harness, score.size(60, 300))
    await audit.assert_each_took_effect_once(harness, count)
    score.note(f"{kills} kills, {count:,} jobs: 0 lost, 0 doubled; resumed within {max(resumed):.1f} s")
    assert max(resumed) <= 35


@pytest.mark.scoreboard(
    "J1", "a machine with its workers is lost", "0 lost, 0 doubled database effects, resumed <= 35 s"
)
async def test_the_jobs_of_a_lost_machine_are_resumed_j1(harness: JobsHarness, tmp_path: Path, score: Score) -> None:
    """BROKEN=no-lease: without the supervisor, only the leases expire."""
    await enqueue_slow_effects(harness, 8, 1.0)
    with working(tmp_path, "--concurrency=4", **environment(harness)) as served:
        held = await audit.running_jobs(harness)
        for process in (served.process.pid, *descendants_of(served.process.pid)):
            os.kill(process, signal.SIGKILL)
    began = time.monotonic()
    if not score.size(small=False, full=True):
        await harness.database.run(audit.expire_leases)  # as after half a minute
    with working(tmp_path, "--concurrency=4", **environment(harness)):
        await audit.wait_until_resumed(harness, held)
        seconds = time.monotonic() - began
        await audit.wait_until_finished(harness, 60)
    await audit.assert_each_took_effect_once(harness, 8)
    score.note(f"{len(held)} jobs resumed within {seconds:.1f} s")
    assert seconds <= 35


@without_brokers
@pytest.mark.scoreboard(
    "J2",
    "poison jobs (`os._exit`, the kernel's out-of-memory kill)",
    "dead after exactly its attempts; other jobs' p99 <= 2x",
)
async def test_a_job_that_kills_its_worker_harms_no_other_j2(
    harness: JobsHarness, tmp_path: Path, score: Score
) -> None:
    """BROKEN=no-attempts: the job is never dead. BROKEN=not-isolated: other jobs, of two attempts, are dead too."""
    count = score.size(200, 4_000)
    with (
        working(tmp_path, "--concurrency=40", **environment(harness)),
        working(tmp_path, "--concurrency=40", **environment(harness)),
    ):
        await _enqueue_at_a_steady_rate(harness, 0, count)
        await audit.wait_until_finished(harness, 60)
        without = await audit.latency_percentile(harness, 0.99)
        async with harness.database.transaction() as tx:
            await tx.run_script("DELETE FROM jobs")
        # In a full run, each poison job kills one worker, at different times. A small run is too short for that.
        first, second = count + count // 4, count + count // 4 + score.size(0, count // 2)
        await _enqueue_at_a_steady_rate(harness, count, first)
        poison = [await harness.enqueue(sample_jobs.poison)]
        await _enqueue_at_a_steady_rate(harness, first, second)
        poison.append(await harness.enqueue(sample_jobs.out_of_memory))
        await _enqueue_at_a_steady_rate(harness, second, 2 * count)
        found = await audit.wait_until_finished(harness, score.size(90, 120))
        during = await audit.latency_percentile(harness, 0.99)
    assert found == {"done": count, "dead": len(poison)}
    for job_id in poison:
        dead = await harness.jobs.get(job_id)
        assert dead.attempts == dead.max_attempts == len(await harness.jobs.failures(job_id))
    assert len(set(await harness.notes())) == 2 * count
    score.note(f"p99 of {count:,} others {during * 1_000:.0f} ms, {without * 1_000:.0f} ms without")
    if score.size(small=False, full=True):  # in a small run, one percent of the jobs is interrupted
        assert during <= 2 * without


async def _enqueue_at_a_steady_rate(harness: JobsHarness, first: int, end: int) -> None:
    """Enqueue almost 100 jobs a second, of 0.2 s each."""
    for number in range(first, end):
        await harness.enqueue(sample_jobs.slow_effect.with_options(max_attempts=2), number=number, seconds=0.2)
        await asyncio.sleep(0.01)


@pytest.mark.scoreboard(
    "J3", "rollback x1,000; crash between commit and publish x100", "0 ghosts; 100/100 dispatched <= 5 s"
)
async def test_no_rolled_back_job_runs_and_no_committed_job_is_lost_j3(
    harness: JobsHarness, tmp_path: Path, score: Score
) -> None:
    """BROKEN=own-transaction: jobs of rolled-back transactions run.

    BROKEN=no-polling: without a notification a job waits forever, except on SQLite, where workers see the commit.
    """
    rollbacks, crashes = score.size((50, 3), (1_000, 100))
    with working(tmp_path, "--concurrency=4", **environment(harness)):
        for _ in range(rollbacks):
            with suppress(ZeroDivisionError):
                async with harness.database.transaction() as tx:
                    await harness.jobs.enqueue(tx, sample_jobs.note, text="ghost")
                    raise ZeroDivisionError
        slowest = 0.0
        for done in range(0, crashes, PARALLEL_CRASHES):
            numbers = range(done, min(done + PARALLEL_CRASHES, crashes))
            await asyncio.gather(*(_enqueue_and_die(harness, number) for number in numbers))
            began = time.monotonic()
            while await audit.counts(harness) != {"done": numbers.stop} and time.monotonic() < began + 10:
                await asyncio.sleep(0.05)
            slowest = max(slowest, time.monotonic() - began)
    await audit.assert_each_took_effect_once(harness, crashes)
    score.note(f"{rollbacks:,} rollbacks: 0 ghosts; {crashes} of {crashes} done within {slowest:.1f} s")
    assert slowest <= 5


async def _enqueue_and_die(harness: JobsHarness, number: int) -> None:
    arguments, settings = (harness.url, harness.broker_url or "", str(number)), {**os.environ, **environment(harness)}
    run = partial(commands.shared().run, arguments, ROOT, settings, module="jobs_app.enqueue_and_die")
    (await asyncio.to_thread(run)).check_returncode()


@without_brokers
@pytest.mark.scoreboard("J4", "SIGSTOP a worker past its lease, then resume", "0 stale completions accepted")
async def test_a_suspended_worker_cannot_complete_a_reclaimed_job_j4(
    harness: JobsHarness, tmp_path: Path, score: Score
) -> None:
    """BROKEN=no-fencing: the suspended worker repeats effects that another worker has completed."""
    rounds = score.size(1, 2)
    for number in range(rounds):
        await enqueue_slow_effects(harness, 4, 2.0, start=4 * number)
        with working(tmp_path, "--concurrency=4", **environment(harness)) as first:
            while len(await audit.running_jobs(harness)) < 4:
                await asyncio.sleep(0.05)
            stopped = (first.process.pid, *descendants_of(first.process.pid))
            send(signal.SIGSTOP, stopped)
            try:
                if not score.size(small=False, full=True):
                    await expire_leases(harness, stopped)
                with working(tmp_path, "--concurrency=4", **environment(harness)):
                    await audit.wait_until_finished(harness, 90)
            finally:
                send(signal.SIGCONT, stopped)
            await asyncio.sleep(3)
    await audit.assert_each_took_effect_once(harness, 4 * rounds)
    score.note(f"{4 * rounds} jobs of {rounds} workers: 0 stale completions")


async def expire_leases(harness: JobsHarness, stopped: Iterable[int]) -> None:
    """As after half a minute. While a stopped process has a transaction, SQLite has no other writer: stop it again."""
    while True:
        try:
            await harness.database.run(audit.expire_leases)
        except DatabaseBusy:
            send(signal.SIGCONT, stopped)
            await asyncio.sleep(0.1)
            send(signal.SIGSTOP, stopped)
        else:
            return


def send(number: signal.Signals, processes: Iterable[int]) -> None:
    for process in processes:
        os.kill(process, number)


@without_brokers
@pytest.mark.scoreboard("J5", "unknown task, corrupt payload x1,000", "all dead-lettered; throughput >= 95%")
async def test_a_job_that_cannot_run_is_dead_and_delays_no_other_j5(
    harness: JobsHarness, tmp_path: Path, score: Score
) -> None:
    """BROKEN=no-dead-letters: such jobs hold their slots until their leases expire, without a recorded error.

    A job with unreadable arguments is dead immediately. An unknown job is dead after a day, in which a worker may know
    it.
    """
    good, bad, each = score.size((200, 20, 0.02), (5_000, 1_000, 0.1))
    seconds = []
    with working(tmp_path, "--concurrency=20", **environment(harness)):
        for start, mixed in ((0, 0), (good, bad)):
            async with harness.database.transaction() as tx:
                await harness.jobs.enqueue_many(
                    tx, sample_jobs.note.with_options(max_attempts=1), [{"text": "bad"}] * mixed
                )
                await tx.run_script("UPDATE jobs SET name = 'unknown' WHERE name = 'note'")
                if mixed:
                    half = f"(SELECT id FROM jobs WHERE name = 'unknown' LIMIT {bad // 2})"
                    await tx.run_script(
                        f"UPDATE jobs SET name = 'note', arguments = '{{\"text\": 5' WHERE id IN {half}"
                    )
                arguments = [{"number": number, "seconds": each} for number in range(start, start + good)]
                await harness.jobs.enqueue_many(tx, sample_jobs.slow_effect, arguments)
            began = time.monotonic()
            while (await audit.counts(harness)).get("done", 0) < start + good and time.monotonic() < began + 120:
                await asyncio.sleep(0.02)
            seconds.append(time.monotonic() - began)
        await harness.wait_for_states(lambda states: states.count("parked") == states.count("dead") == bad // 2, 60)
        assert await audit.failure_reasons(harness) == {"UnreadableArguments": bad // 2}
        await harness.database.run(audit.expire_parked)  # as after a day
        found = await audit.wait_until_finished(harness, 60)
    assert found == {"done": 2 * good, "dead": bad}
    assert await audit.failure_reasons(harness) == {
        "UnreadableArguments": bad // 2,
        "no worker knew unknown within 86400 s": bad // 2,
    }
    share = seconds[0] / seconds[1]
    score.note(f"{bad:,} of {bad:,} dead; the {good:,} others at {share:.0%} of the throughput without them")
    assert share >= score.size(0.3, 0.95)  # a small run takes about one polling interval


@pytest.mark.parametrize("combination", ["postgresql-redis", "sqlite-redis", "postgresql-rabbitmq"])
@pytest.mark.scoreboard("J6", "broker down 60 s", "100% of enqueues succeed, 0 lost, no restart needed")
async def test_a_broker_that_is_down_loses_no_job_j6(
    combination: str, empty_url: str, tmp_path: Path, score: Score
) -> None:
    """BROKEN=publish-first: enqueues fail while the broker is down."""
    if os.environ.get(VARIABLE):
        break_on_purpose()
    program = redis_program() if "redis" in combination else rabbit_program()
    if program is None:
        pytest.skip(f"{NEEDS}: {combination.partition('-')[2]}")
    down = score.size(4.0, 60.0)
    with redis_server() if "redis" in combination else rabbit_server() as broker:
        async with open_harness(empty_url, sample_jobs.ALL, broker.url, make=False, name="jobs_app") as harness:
            restwell("migrate", cwd=ROOT, **environment(harness)).check_returncode()
            with working(tmp_path, "--concurrency=8", **environment(harness)) as served:
                number, phases = 0, []
                for phase, seconds in (("up", 2.0), ("down", down), ("up again", 6.0)):
                    if phase == "down":
                        await asyncio.to_thread(broker.stop)
                    elif phase == "up again":
                        await asyncio.to_thread(broker.start)
                    until = time.monotonic() + seconds
                    waits = []
                    while time.monotonic() < until:
                        began = time.monotonic()
                        await harness.enqueue(sample_jobs.slow_effect, number=number, seconds=0.0)
                        waits.append(time.monotonic() - began)
                        number += 1
                        await asyncio.sleep(0.02)
                    phases.append(max(waits))
                await audit.wait_until_finished(harness, 30)
                lost = served.output.count('"event":"jobs_broker_down"')
                found = served.output.count('"event":"jobs_broker_up"')
                errors = served.output.count('"level":"error"')
            await audit.assert_each_took_effect_once(harness, number)
    score.note(
        f"{number:,} of {number:,} enqueued, within {phases[1] * 1_000:.0f} ms while the broker was down; all done"
    )
    assert phases[1] < 5, "an enqueue does not wait for the broker"
    assert 1 <= lost == found <= 3, "the outage and the reconnection are logged; a broker that starts may fail again"
    assert errors == 0


@without_brokers
@pytest.mark.scoreboard("J7", "3 schedulers, kills, 1 h clock skew, 200 ticks", "each tick exactly once")
async def test_each_scheduled_time_enqueues_one_job_j7(harness: JobsHarness, tmp_path: Path, score: Score) -> None:
    """BROKEN=no-cron-check: two schedulers enqueue the job of one scheduled time.

    SQLite uses the clock of its machine, so clock skew applies to PostgreSQL only.
    """
    if harness.database.dialect == "postgresql" and FAKETIME is None:
        pytest.skip(f"{NEEDS}: faketime (apt-get install faketime)")
    crons, seconds, kills = score.size((2, 4, 1), (4, 50, 20))
    skews = [""] * 3 if harness.database.dialect == "sqlite" else ["", "+1h", "-1h"]
    settings = [environment(harness, **{CRONS: str(crons)}, **_skewed(skew)) for skew in skews]
    with (
        working(tmp_path, **settings[0]) as one,
        working(tmp_path, **settings[1]) as two,
        working(tmp_path, **settings[2]),
    ):
        for _ in range(kills):
            await asyncio.sleep(seconds / kills / 2)
            for served in (one, two):
                for process in descendants_of(served.process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
        async with asyncio.timeout(seconds + 60):
            while len(await harness.notes()) < crons * seconds:
                await asyncio.sleep(0.2)
    times_by_job = await audit.cron_times(harness)
    assert len(times_by_job) == crons
    for times in times_by_job.values():
        assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=1)}, (
            "no scheduled time is missed or duplicated"
        )
    score.note(f"{sum(map(len, times_by_job.values()))} ticks, {kills} times two of three killed: each once")


def _skewed(skew: str) -> dict[str, str]:
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if skew else {}
