"""The generation table of a machine, and the local store on top of it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from restwell.cache import _generations as module
from restwell.cache._generations import GenerationTable
from restwell.cache._local import LocalStore, default_runtime_dir
from restwell.errors import ConfigurationError

DIE_DURING_WRITE = """
import asyncio, os, pathlib, signal, sys
from restwell.cache._generations import GenerationTable

async def begin():
    GenerationTable(pathlib.Path(sys.argv[1])).begin_write(["a"])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(begin())
"""


async def die_during_write(folder: Path) -> None:
    """Run a process that dies between begin_write and end_write."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DIE_DURING_WRITE, str(folder))
    assert await process.wait() == -signal.SIGKILL


@pytest.fixture
def recovery_seconds(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(module, "RECOVERY_SECONDS", 0.3)
    return 0.3


async def test_a_write_changes_the_generation_of_its_tag_for_every_process(tmp_path: Path) -> None:
    one, two = GenerationTable(tmp_path), GenerationTable(tmp_path)
    before, other = two.read(["a"]), two.read(["b"])
    assert before is not None
    assert other is not None
    write = one.begin_write(["a"])
    assert (two.is_current(before), two.is_current(other), two.read(["a"]), two.read(["b"])) == (
        False,
        True,
        None,
        other,
    )
    assert one.end_write(write)
    after = two.read(["a"])
    assert after == (write.generations["a"],)
    assert after != before
    one.close()
    two.close()


async def test_a_tag_is_cached_again_after_its_writer_died(tmp_path: Path, recovery_seconds: float) -> None:
    """Breaks when the slots of dead processes are not recovered, or are recovered immediately: the database may still
    process the commit of the dead process.
    """
    table = GenerationTable(tmp_path)
    await die_during_write(tmp_path)
    assert table.read(["a"]) is None
    await asyncio.sleep(recovery_seconds / 2)
    assert table.read(["a"]) is None
    await asyncio.sleep(recovery_seconds)
    assert table.read(["a"]) is not None
    table.close()


async def test_a_process_that_reuses_the_slot_of_a_dead_process_recovers_its_tags(
    tmp_path: Path, recovery_seconds: float
) -> None:
    """Breaks when a new process treats the flags of the dead one as its own, or clears them immediately."""
    await die_during_write(tmp_path)
    table = GenerationTable(tmp_path)
    own = table.begin_write(["a"])
    table.end_write(own)
    assert table.read(["a"]) is None
    await asyncio.sleep(recovery_seconds + 0.1)
    assert table.read(["a"]) is not None
    table.close()


async def test_nothing_is_cached_until_a_live_writer_ends_its_write(tmp_path: Path, recovery_seconds: float) -> None:
    one, two = GenerationTable(tmp_path), GenerationTable(tmp_path)
    write = one.begin_write(["a"])
    for _ in range(4):
        assert two.read(["a"]) is None
        await asyncio.sleep(recovery_seconds / 2)
    one.end_write(write)
    assert two.read(["a"]) is not None
    one.close()
    two.close()


async def test_the_only_process_discards_old_generations_and_values(tmp_path: Path) -> None:
    """Breaks when generations persist: values from before the restore of a backup would be served."""
    one = GenerationTable(tmp_path)
    (tmp_path / "values.db").touch()
    before = one.read(["a"])
    two = GenerationTable(tmp_path)
    assert not two.is_only_process
    assert (two.read(["a"]), (tmp_path / "values.db").exists()) == (before, True)
    one.close()
    two.close()
    three = GenerationTable(tmp_path)
    assert three.is_only_process
    assert (three.read(["a"]) == before, (tmp_path / "values.db").exists()) == (False, False)
    three.close()


async def test_two_tags_in_one_bucket_are_invalidated_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_bucket", lambda _: 7)
    table = GenerationTable(tmp_path)
    before = table.read(["b"])
    assert before is not None
    write = table.begin_write(["a", "b"])
    assert not table.is_current(before)
    assert table.end_write(write)
    assert table.read(["a", "b"]) is not None
    table.close()


async def test_a_process_without_a_free_slot_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROCESS_SLOTS", 2)
    one, two = GenerationTable(tmp_path), GenerationTable(tmp_path)
    with pytest.raises(ConfigurationError, match="RUNTIME_DIR"):
        GenerationTable(tmp_path)
    one.close()
    two.close()


async def test_closing_does_not_wait_for_dead_processes(tmp_path: Path) -> None:
    """The recovery timer fires after close() and must not access the closed map."""
    await die_during_write(tmp_path)
    table = GenerationTable(tmp_path)
    table.close()
    table._finish_recovery(table._slot, [1])
    assert table._map.closed
    assert table._locks == {}


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
