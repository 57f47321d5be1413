"""Sample jobs for the tests: successful, failing, slow, blocking and crashing ones."""

import asyncio
import os
import signal
import time
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from jobs_harness import add_effect
from restwell.database import Database
from restwell.errors import PermanentFailure
from restwell.jobs import Backoff, Job, JobContext, job

SOON = Backoff(initial_seconds=0.01, max_seconds=0.01)


@job()
async def note(context: JobContext, text: str) -> str:
    """Inserts a note in every attempt. Returns the text."""
    await context.get(Database).run(add_effect, job_id=context.job_id, note=text)
    return text


@job()
async def note_once(context: JobContext, text: str) -> None:
    async with context.completion() as tx:
        await tx.run(add_effect, job_id=context.job_id, note=text)


@job(max_attempts=50)
async def slow_effect(context: JobContext, number: int, seconds: float, effect_at: float = 0.5) -> None:
    """Sleeps, and completes with a note after the share ``effect_at`` of the time."""
    await asyncio.sleep(seconds * effect_at)
    async with context.completion() as tx:
        await tx.run(add_effect, job_id=context.job_id, note=f"{number:06}")
    await asyncio.sleep(seconds * (1 - effect_at))


@job(max_attempts=2, backoff=SOON)
async def out_of_memory(_context: JobContext) -> None:
    """Simulates the out-of-memory killer, which sends the same signal."""
    os.kill(os.getpid(), signal.SIGKILL)


@job(backoff=SOON, max_attempts=3)
async def fail(context: JobContext, until_attempt: int = 100) -> int:
    if context.attempt < until_attempt:
        raise ValueError(f"failed in attempt {context.attempt}")
    return context.attempt


@job()
async def fail_permanently(_context: JobContext, text: str = "the address does not exist") -> None:
    raise PermanentFailure(text)


@job(max_attempts=1, secret_arguments=["code"])
async def send_code(_context: JobContext, address: str, code: str, password: str) -> None:
    try:
        dict[str, str]()[code]
    except KeyError as error:
        raise ValueError(f"{address} refused {code} and {password}") from error


@job(timeout_seconds=0.2, max_attempts=1)
async def hang(_context: JobContext) -> None:
    await asyncio.sleep(60)


@job()
async def sleep(context: JobContext, seconds: float) -> None:
    await context.get(Database).run(add_effect, job_id=context.job_id, note=f"began in attempt {context.attempt}")
    await asyncio.sleep(seconds)
    await context.get(Database).run(add_effect, job_id=context.job_id, note="ended")


@job()
async def block_event_loop(_context: JobContext, seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251  # on purpose


@job(backoff=SOON, max_attempts=1)
async def fail_with_unstorable_text(_context: JobContext) -> None:
    raise ValueError("NUL \x00 and a lone surrogate \ud800")


@job(max_attempts=2)
def blocking_sleep(seconds: float) -> None:
    time.sleep(seconds)


@job(backoff=SOON, max_attempts=2)
async def raise_system_exit(_context: JobContext) -> None:
    raise SystemExit(3)


@job(max_attempts=3)
async def poison(_context: JobContext) -> None:
    """Kills its worker process."""
    os._exit(9)


@job()
def square(number: int) -> int:
    return number * number


@job(timeout_seconds=2, max_attempts=1)
def busy_loop() -> None:
    while True:
        pass


@job(backoff=SOON, max_attempts=2)
def exit_process() -> None:
    os._exit(7)


@job()
async def halve(context: JobContext, numbers: list[int]) -> list[float]:
    return await context.run_in_process(_halves, numbers)


def _halves(numbers: list[int]) -> list[float]:
    return [number / 2 for number in numbers]


@job(cron="* * * * * *")
async def every_second(context: JobContext, scheduled_at: datetime) -> None:
    async with context.completion() as tx:
        await tx.run(add_effect, job_id=context.job_id, note=scheduled_at.isoformat())


@job()
async def typed(context: JobContext, number: int, owner: UUID, at: datetime | None = None) -> None: ...


@job(name="note")
async def note_in(context: JobContext, text: str, language: str = "en") -> None:
    """``note`` in the next release: one more argument, with a default."""
    await context.get(Database).run(add_effect, job_id=context.job_id, note=f"{text} in {language}")


@job()
async def greet(context: JobContext) -> None:
    """Exists only in the next release."""
    await context.get(Database).run(add_effect, job_id=context.job_id, note="hello")


@job(timeout_seconds=30)
def log_in_process(text: str) -> None:
    """Logs in a separate process."""
    structlog.get_logger("sample_jobs").warning("said", text=text)


ALL: list[Job[..., Any]] = [
    note,
    log_in_process,
    note_once,
    fail,
    fail_permanently,
    send_code,
    hang,
    sleep,
    block_event_loop,
    raise_system_exit,
    fail_with_unstorable_text,
    blocking_sleep,
    poison,
    out_of_memory,
    slow_effect,
    square,
    busy_loop,
    exit_process,
    halve,
    typed,
]

NEXT_RELEASE: list[Job[..., Any]] = [note_in, greet, *ALL[1:]]
