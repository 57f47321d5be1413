"""The clock of this machine, against those of the database and of Redis."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from sqlalchemy import text

from restwell import _startup as startup
from restwell._doctor._finding import Finding, Subject
from restwell.database import query

MAX_SKEW_SECONDS: Final = 1.0

_clock: Final = query("doctor.clock", text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)"), into=float)


async def check_clock(subject: Subject) -> AsyncIterator[Finding]:
    database = subject.database
    clocks: dict[str, Callable[[], Awaitable[float | None]]] = {}
    if database is not None and database.dialect == "postgresql":
        opened = database
        clocks["DATABASE_URL"] = lambda: opened.one(_clock)
    for setting, url in subject.redis_urls.items():
        clocks[setting] = lambda url=url: _redis_clock(url)  # type: ignore[misc]  # the type of the default is lost
    for setting, read in clocks.items():
        before = time.time()
        there, after = await read(), time.time()
        if there is None:
            continue  # it does not answer, which is a finding of its own
        skew = there - (before + after) / 2
        if abs(skew) > MAX_SKEW_SECONDS + (after - before):
            yield Finding(
                "warning",
                setting,
                f"its clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the clock of this machine, so"
                " tokens and limits expire at the wrong time. Synchronize both with NTP (timedatectl set-ntp true).",
            )


async def _redis_clock(url: str) -> float | None:
    from restwell._redis import REDIS_ERRORS, connect  # noqa: PLC0415  # loaded only if it is used

    client: Any = connect(url, timeout_seconds=startup.PROBE_SECONDS)
    try:
        answer = await client.time()
    except REDIS_ERRORS:
        return None
    finally:
        await client.aclose()
    seconds, microseconds = next(iter(answer.values())) if isinstance(answer, dict) else answer
    return float(seconds + microseconds / 1e6)
