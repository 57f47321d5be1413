"""Job declarations, backoff and cron schedules."""

from typing import Any

import pytest

from restwell.errors import ConfigurationError
from restwell.jobs import Backoff, JobContext, Jobs, job, mail_job


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


def test_a_job_that_sends_mail_has_its_own_queue_and_is_retried_for_about_90_minutes() -> None:
    @mail_job
    async def send(context: JobContext) -> None: ...

    waits = [send.backoff.delay_seconds_after(attempt) for attempt in range(1, send.max_attempts) for _ in range(1_000)]
    assert (send.queue, send.name) == ("mail", "send")
    assert 5_100 < sum(waits) / 1_000 < 5_900


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


def test_enqueue_is_typed_with_the_arguments_of_the_job() -> None:
    """Checked by mypy in `make check`: it reports the `type: ignore` as unused if the arguments are not typed."""

    async def enqueue(jobs: Jobs, tx: Any) -> None:
        await jobs.enqueue(tx, add, 1, amount=2)
        await jobs.enqueue(tx, add, "one", amount=2)  # type: ignore[arg-type]  # not an int

    assert enqueue is not None


@job()
async def add(_context: JobContext, number: int, amount: int) -> int:
    return number + amount
