"""A transaction invalidates its tags before its commit, and ends that whatever its outcome."""

import asyncio

import pytest

from cache_harness import CacheHarness
from restwell.cache import _store as stores


async def test_tags_are_cached_again_after_a_rollback(harness: CacheHarness) -> None:
    """Breaks when rolled_back does nothing."""
    cache = await harness.cache()
    with pytest.raises(ZeroDivisionError):
        async with harness.database.transaction() as tx:
            await harness.set_in(tx, cache, 1)
            tx.hooks[0].outcome_unknown()  # before begin_write: there is nothing to end
            tx.hooks.append(tx.hooks[0])
            await tx.hooks[0].before_commit(tx)
            raise ZeroDivisionError
    await asyncio.sleep(0.05)
    assert [await harness.get(cache), await harness.get(cache), harness.loads] == [0, 0, 1]


@pytest.mark.slow
async def test_nothing_is_cached_while_the_outcome_of_a_commit_is_unknown(
    harness: CacheHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when outcome_unknown ends the write immediately."""
    monkeypatch.setattr("restwell.cache._invalidation.WRITE_TIMEOUT_SECONDS", 0.5)
    cache = await harness.cache()
    async with harness.database.transaction() as tx:
        await harness.set_in(tx, cache, 1)
        (hook,) = tx.hooks
        await hook.before_commit(tx)
        tx.hooks.clear()
    hook.outcome_unknown()
    assert [await harness.get(cache), await harness.get(cache), harness.loads] == [1, 1, 2]
    await asyncio.sleep(0.6)
    assert [await harness.get(cache), await harness.get(cache), harness.loads] == [1, 1, 3]


def test_a_write_may_last_longer_than_any_request() -> None:
    assert stores.WRITE_TIMEOUT_SECONDS >= 30
