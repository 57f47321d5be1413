"""The suspension of the cache: every process has seen it before a write without Redis is acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from restwell.cache import _suspension as module
from restwell.cache._suspension import TRUST_SECONDS, CacheSuspension
from restwell.database import Database, Migrations, open_database


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        await Migrations().upgrade(opened)
        yield opened


class Invalidated:
    """Records what ``resume`` invalidates."""

    def __init__(self) -> None:
        self.calls: list[list[str] | None] = []

    async def __call__(self, tags: Sequence[str] | None) -> None:
        self.calls.append(None if tags is None else sorted(tags))


@pytest.mark.slow
async def test_a_write_is_acknowledged_only_when_no_process_trusts_the_cache(database: Database) -> None:
    """Breaks when ``wait_until_visible`` returns early: another process would serve the value from before the write."""
    writer, reader = CacheSuspension(database), CacheSuspension(database)
    await reader.refresh()
    assert reader.trusted_until > time.monotonic()
    assert reader.suspended_at is None
    await writer.wait_until_visible(await writer.suspend_now(["a"]))
    assert reader.trusted_until < time.monotonic()
    await reader.refresh()
    assert reader.suspended_at == writer.suspended_at is not None
    assert (reader.trusted_until, writer.trusted_until) == (0, 0)


@pytest.mark.slow
async def test_only_the_first_write_of_a_suspension_waits(database: Database) -> None:
    suspension = CacheSuspension(database)
    first = await suspension.suspend_now(["a"])
    await suspension.wait_until_visible(first)
    began = time.monotonic()
    second = await suspension.suspend_now(["b"])
    await suspension.wait_until_visible(second)
    assert second == first
    assert time.monotonic() - began < TRUST_SECONDS


async def test_a_suspension_that_is_rolled_back_never_was(database: Database) -> None:
    """Breaks when it is written in a transaction of its own: the cache would be suspended for nothing."""
    suspension, invalidated = CacheSuspension(database), Invalidated()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await suspension.suspend(tx, ["a"])
            raise ZeroDivisionError
    await suspension.refresh()
    assert suspension.suspended_at is None
    await suspension.resume(invalidated)
    assert invalidated.calls == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_suspension_without_a_transaction_is_visible_at_once(database: Database) -> None:
    """Breaks when it joins the ambient transaction: no other process sees it before that one commits."""
    suspension, reader = CacheSuspension(database), CacheSuspension(database)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction(ambient=True):
            await suspension.suspend_now(["a"])
            raise ZeroDivisionError
    await reader.refresh()
    assert reader.suspended_at is not None


async def test_the_cache_resumes_after_a_quiet_time_and_without_the_recorded_tags(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when it resumes at once, or when a recorded tag is not invalidated."""
    suspension, invalidated = CacheSuspension(database), Invalidated()
    await suspension.suspend_now(["a", "b"])
    await suspension.suspend_now(["b", "c"])
    await suspension.resume(invalidated)
    await suspension.refresh()
    assert (invalidated.calls, suspension.suspended_at is None) == ([], False)
    monkeypatch.setattr(module, "QUIET_PERIOD", timedelta(0))
    await suspension.resume(invalidated)
    assert (invalidated.calls, suspension.suspended_at) == ([["a", "b", "c"]], None)
    assert suspension.trusted_until > time.monotonic()
    await suspension.suspend_now(["d"])
    await suspension.resume(invalidated)
    assert invalidated.calls[1:] == [["d"]], "the others were deleted"


async def test_too_many_recorded_tags_invalidate_the_whole_cache(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when only the first of them are invalidated."""
    monkeypatch.setattr(module, "MAX_TAGS", 3)
    monkeypatch.setattr(module, "QUIET_PERIOD", timedelta(0))
    suspension, invalidated = CacheSuspension(database), Invalidated()
    await suspension.suspend_now(["a", "b", "c"])
    await suspension.resume(invalidated)
    await suspension.suspend_now(["a", "b", "c", "d"])
    await suspension.resume(invalidated)
    assert invalidated.calls == [["a", "b", "c"], None]


async def test_a_tag_cannot_be_recorded_while_the_suspension_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the lock of the row: a tag recorded in between would be deleted without an invalidation.

    Seen to fail on PostgreSQL: the second writer got an error after its commit.
    """
    monkeypatch.setattr(module, "QUIET_PERIOD", timedelta(0))
    suspension, seen = CacheSuspension(database), []
    await suspension.suspend_now(["a"])
    ending, go = asyncio.Event(), asyncio.Event()

    async def invalidate(tags: Sequence[str] | None) -> None:
        seen.append(tags)
        ending.set()
        await go.wait()

    resuming = asyncio.create_task(suspension.resume(invalidate))
    await ending.wait()
    writing = asyncio.create_task(CacheSuspension(database).suspend_now(["b"]))
    await asyncio.sleep(0.2)
    assert not writing.done()
    go.set()
    await resuming
    await writing
    invalidated = Invalidated()
    await suspension.resume(invalidated)
    assert (seen, invalidated.calls) == ([["a"]], [["b"]])
