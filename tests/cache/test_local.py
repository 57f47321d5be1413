"""The store of one machine: its folder, and its file of values."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from restwell.cache._local import LocalStore, default_runtime_dir
from restwell.errors import ConfigurationError


def test_the_default_folder_is_next_to_the_sqlite_file_or_in_the_temporary_folder() -> None:
    assert default_runtime_dir("sqlite:///var/shop.db") == Path("var/shop.db-runtime")
    one, two = default_runtime_dir("postgresql://a/b"), default_runtime_dir("postgresql://a/c")
    assert one != two
    assert "a/b" not in str(one)
    assert one.parent.is_dir()


async def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without the check: a user who creates the folder first could forge cached values."""
    (tmp_path / "foreign").mkdir()
    monkeypatch.setattr("restwell.cache._local.os.geteuid", lambda: 54_321)
    with pytest.raises(ConfigurationError, match="RUNTIME_DIR"):
        await LocalStore(tmp_path / "foreign", 1_000_000).start()


async def test_the_file_of_values_stays_within_its_size_limit(tmp_path: Path) -> None:
    """Breaks when _evict does nothing."""
    store = LocalStore(tmp_path, 300_000)
    await store.start()
    for number in range(1_000):
        await store.set(f"key {number}", os.urandom(2_000), 60)
    size = (tmp_path / "values.db").stat().st_size
    newest, oldest = await store.get("key 999", ["a"]), await store.get("key 0", ["a"])
    await store.close()
    assert size < 700_000
    assert newest.data is not None
    assert oldest.data is None


async def test_an_unwritable_file_of_values_disables_sharing_only(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, 300_000)
    await store.start()
    assert store._writer is not None
    await store._write(lambda sync: sync.execute("DROP TABLE entries; DROP TABLE leases").fetchall())
    assert (await store.acquire_lease("key", ["a"]))[0]
    await store.set("key", b"value", 60)
    found = await store.get("key", ["a"])
    assert found.data is None
    assert found.generations is not None
    await store.close()


@pytest.mark.slow
async def test_processes_that_start_together_create_one_file(tmp_path: Path) -> None:
    """Breaks when processes create the file concurrently: some found it locked and shared no values."""
    for number in range(10):
        stores = [LocalStore(tmp_path / str(number), 300_000) for _ in range(8)]
        with capture_logs() as lines:
            await asyncio.gather(*(store.start() for store in stores))
        await stores[0].set("key", b"value", 60)
        assert {(await store.get("key", ["tag"])).data for store in stores} == {b"value"}
        for store in stores:
            await store.close()
        assert lines == []
