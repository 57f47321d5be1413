"""Job declarations, backoff and cron schedules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from restwell.database import open_database
from restwell.errors import ConfigurationError
from restwell.jobs import Backoff, JobContext, Jobs, job
from restwell.jobs._cron import Cron
from restwell.jobs._notifier import open_notifier


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_backoff_delay_is_random_and_its_maximum_doubles_with_each_attempt() -> None:
    backoff = Backoff(initial_seconds=2, max_seconds=60)
    for attempt, longest in ((1, 2), (2, 4), (3, 8), (10, 60), (10_000, 60)):
        waits = [backoff.delay_seconds_after(attempt) for _ in range(1_000)]
        assert 0 <= min(waits) < longest * 0.1
        assert longest * 0.9 < max(waits) <= longest


def test_with_options_returns_a_copy_with_changed_options() -> None:
    @job(queue="mail", priority=3, max_attempts=7)
    async def send(context: JobContext) -> None: ...

    other = send.with_options(queue="slow", priority=0, delay_seconds=5, unique_key="k", max_attempts=1)
    assert (other.queue, other.priority, other.delay_seconds, other.unique_key, other.max_attempts) == (
        *("slow", 0, 5, "k"),
        1,
    )
    assert (send.queue, send.priority, send.delay_seconds, send.unique_key, send.max_attempts) == (
        "mail",
        3,
        0,
        None,
        7,
    )


def test_an_invalid_job_declaration_raises() -> None:
    async def no_context(number: int) -> None: ...
    async def no_type(context: JobContext, number) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
    async def no_name(context: JobContext, *numbers: int) -> None: ...
    def local() -> None: ...

    for function, words in (
        (no_context, "must be a JobContext"),
        (no_type, "number has no type"),
        (no_name, "are not supported"),
        (local, "at module level"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            job()(function)
    for options, words in (
        ({"queue": "with a space"}, "'with a space'"),
        ({"cron": "every day"}, "cannot be read"),
        ({"cron": "0 0 30 2 *"}, "cannot be read"),
        ({"cron": "0 3 * * *", "timezone": "Europe/Atlantis"}, "no time zone 'Europe/Atlantis'"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            job(**options)  # type: ignore[arg-type]  # mixed types


async def test_registering_two_jobs_with_one_name_raises() -> None:
    @job(name="same")
    async def one(context: JobContext) -> None: ...

    @job(name="same")
    async def two(context: JobContext) -> None: ...

    database = open_database("sqlite:///unused.db")
    jobs = Jobs(database, open_notifier(database, "", None, "name"))
    jobs.register([one])
    with pytest.raises(TypeError, match="two jobs are named same"):
        jobs.register([two])


@pytest.mark.parametrize(
    ("cron", "last", "now", "due"),
    [
        pytest.param("* * * * *", "2026-01-01 00:00:30", "2026-01-01 00:00:59", [], id="not yet"),
        pytest.param("* * * * *", "2026-01-01 00:00:30", "2026-01-01 00:01:00", ["2026-01-01 00:01:00"], id="now"),
        pytest.param("*/20 * * * * *", "2026-01-01 00:00:00", "2026-01-01 00:00:45",
                     ["2026-01-01 00:00:20", "2026-01-01 00:00:40"], id="all of the last minute"),
        pytest.param("0 3 * * *", "2026-01-01 03:00:00", "2026-01-04 11:00:00", ["2026-01-04 03:00:00"],
                     id="missed: the newest"),
        pytest.param("0 3 1 * *", "2026-01-01 03:00:00", "2026-01-31 11:00:00", [], id="missed: none"),
        pytest.param("0 3 29 2 *", "2024-02-29 03:00:00", "2032-02-29 04:00:00", ["2032-02-29 03:00:00"],
                     id="years later"),
    ],
)  # fmt: skip
def test_due_between_returns_the_scheduled_times_that_need_a_job(
    cron: str, last: str, now: str, due: list[str]
) -> None:
    assert Cron(cron, "UTC").due_between(at(last), at(now)) == [at(text) for text in due]


@pytest.mark.parametrize(
    ("cron", "last", "wrong"),
    [
        ("* * * * *", "2026-01-01 11:59:00", False),
        ("* * * * *", "2026-01-01 12:00:50", False),  # the clock was set back by less than a minute
        ("* * * * *", "2026-01-01 12:01:01", True),
        ("* * * * * *", "2026-01-01 12:00:50", False),
        ("0 3 * * *", "2026-01-02 03:00:00", False),  # the next run: it was enqueued too early, and not twice
        ("0 3 * * *", "2026-01-03 03:00:00", True),
        ("0 3 29 2 *", "2028-02-29 03:00:00", False),
        ("0 3 29 2 *", "2032-02-29 03:00:00", True),
    ],
)
def test_a_stored_time_later_than_the_next_scheduled_time_is_in_the_future(
    cron: str, last: str, *, wrong: bool
) -> None:
    assert Cron(cron, "UTC").is_in_future(at(last), at("2026-01-01 12:00:00")) is wrong


@pytest.mark.parametrize(
    ("cron", "days", "hours"),
    [
        # On 29 March clocks go from 2 to 3: the run at 2:30 is due at 3:00, which is 1:00 UTC.
        pytest.param("30 2 * * *", ["2026-03-28", "2026-03-29", "2026-03-30"], ["01:30", "01:00", "00:30"],
                     id="spring"),
        # On 25 October clocks go from 3 back to 2: the run at 2:30 is due once.
        pytest.param("30 2 * * *", ["2026-10-24", "2026-10-25", "2026-10-26"], ["00:30", "00:30", "01:30"],
                     id="autumn"),
    ],
)  # fmt: skip
def test_a_daily_cron_job_runs_once_a_day_across_clock_changes(cron: str, days: list[str], hours: list[str]) -> None:
    berlin = Cron(cron, "Europe/Berlin")
    found: list[datetime] = []
    now = at(f"{days[0]} 00:00")
    while now < at(f"{days[-1]} 23:00"):
        found += berlin.due_between(now, now + timedelta(seconds=30))
        now += timedelta(seconds=30)
    assert found == [at(f"{day} {hour}") for day, hour in zip(days, hours, strict=True)]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"], ids=["spring", "autumn"])
def test_a_ten_minute_cron_job_keeps_its_interval_across_clock_changes(day: str) -> None:
    berlin = Cron("*/10 * * * *", "Europe/Berlin")
    found: list[datetime] = []
    now = at(f"{day} 00:00")
    while now < at(f"{day} 03:00"):
        found += berlin.due_between(now, now + timedelta(seconds=30))
        now += timedelta(seconds=30)
    assert found == [at(f"{day} 00:00") + timedelta(minutes=10 * number) for number in range(1, 19)]


def test_enqueue_is_typed_with_the_arguments_of_the_job() -> None:
    """Checked by mypy in `make check`: it reports the `type: ignore` as unused if the arguments are not typed."""

    async def enqueue(jobs: Jobs, tx: Any) -> None:
        await jobs.enqueue(tx, add, 1, amount=2)
        await jobs.enqueue(tx, add, "one", amount=2)  # type: ignore[arg-type]  # not an int

    assert enqueue is not None


@job()
async def add(_context: JobContext, number: int, amount: int) -> int:
    return number + amount
