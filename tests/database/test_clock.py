"""The clock of the database in SQL, the same for all machines."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from restwell.database import open_database, query
from restwell.database._clock import db_now

now = query("test.now", select(db_now().label("now")), into=datetime)
later = query("test.later", select(db_now(in_seconds="in_seconds").label("later")), into=datetime)


async def test_the_time_is_that_of_the_database_to_the_millisecond_with_its_zone(empty_url: str) -> None:
    """Breaks when SQLite's time has whole seconds: jobs of one second would have no order."""
    async with open_database(empty_url) as database:
        first = await database.one(now)
        await asyncio.sleep(0.05)
        second = await database.one(now)
    assert timedelta(milliseconds=30) < second - first < timedelta(seconds=10)
    assert abs(datetime.now(UTC) - second) < timedelta(seconds=10)


async def test_seconds_are_added_also_parts_of_them_and_less_than_none(empty_url: str) -> None:
    """Breaks when the seconds are rounded: a delay of 0.2 seconds would be none."""
    async with open_database(empty_url) as database, database.transaction() as tx:
        start = await tx.one(now)
        for seconds in (0.25, 86_400.0, -3_600.5):
            found = await tx.one(later, in_seconds=seconds)
            assert abs(found - start - timedelta(seconds=seconds)) < timedelta(seconds=0.2)
