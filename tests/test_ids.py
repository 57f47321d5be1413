"""Identifiers are UUIDv7: ordered by time, with the time in them."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from restwell.ids import min_id_at, new_id, new_id_text


def test_ids_are_ordered_by_the_time_of_their_creation() -> None:
    """Breaks with UUIDv4, which inserts rows all over an index."""
    ids = []
    for _ in range(20):
        ids.append(new_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert UUID(new_id_text()).version == 7


def test_an_id_is_not_below_the_minimum_of_its_moment() -> None:
    """Breaks when the minimum is rounded up, or is in seconds."""
    before = datetime.now(UTC)
    created = new_id()
    after = datetime.now(UTC)
    assert min_id_at(before) <= created < min_id_at(after + timedelta(milliseconds=2))
