"""Cron schedules: the due times, also across clock changes."""

from datetime import UTC, datetime, timedelta

import pytest

from restwell.jobs._cron import Cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


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


@pytest.mark.slow
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
