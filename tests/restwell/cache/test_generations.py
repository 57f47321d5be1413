"""What the processes of a machine share: generations that change, flags that the dead do not leave up."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from restwell.cache import generations as module
from restwell.cache.generations import GenerationTable
from restwell.cache.local import LocalStore, default_runtime_dir
from restwell.errors import ConfigurationError

WRITE_AND_DIE = """
import asyncio, os, pathlib, signal, sys
from restwell.cache.generations import GenerationTable

async def begin():
    GenerationTable(pathlib.Path(sys.argv[1])).begin_write(["a"])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(begin())
"""


async def leave_closed(folder: Path) -> None:
    """By a process that dies in the middle of a write."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITE_AND_DIE, str(folder))
    assert await process.wait() == -signal.SIGKILL


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(module, "RECOVERY_SECONDS", 0.3)
    return 0.3


async def test_a_write_changes_the_mark_of_its_tag_for_every_process(tmp_path: Path) -> None:
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


async def test_a_tag_that_a_dead_process_left_closed_opens_again(tmp_path: Path, settle: float) -> None:
    """Breaks when nobody looks after the slots of the dead: the tag is never kept again. And when it is opened at once: the
    database may still be at the dead one's commit."""
    table = GenerationTable(tmp_path)
    await leave_closed(tmp_path)
    assert table.read(["a"]) is None
    await asyncio.sleep(settle / 2)
    assert table.read(["a"]) is None
    await asyncio.sleep(settle)
    assert table.read(["a"]) is not None
    table.close()


async def test_a_process_that_takes_the_row_of_a_dead_one_opens_its_tags(tmp_path: Path, settle: float) -> None:
    """Breaks when a new process begins with the flags of the old one as its own, or wipes them away."""
    await leave_closed(tmp_path)
    table = GenerationTable(tmp_path)
    own = table.begin_write(["a"])
    table.end_write(own)
    assert table.read(["a"]) is None
    await asyncio.sleep(settle + 0.1)
    assert table.read(["a"]) is not None
    table.close()


async def test_a_live_writer_keeps_its_tags_closed_until_it_ends_its_write(tmp_path: Path, settle: float) -> None:
    one, two = GenerationTable(tmp_path), GenerationTable(tmp_path)
    write = one.begin_write(["a"])
    for _ in range(4):
        assert two.read(["a"]) is None
        await asyncio.sleep(settle / 2)
    one.end_write(write)
    assert two.read(["a"]) is not None
    one.close()
    two.close()


async def test_a_process_that_starts_alone_discards_old_marks_and_values(tmp_path: Path) -> None:
    """Breaks when generations live on: what was kept before a backup was restored would come back with it."""
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


async def test_two_tags_in_one_slot_are_invalidated_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_bucket", lambda _: 7)
    table = GenerationTable(tmp_path)
    before = table.read(["b"])
    assert before is not None
    write = table.begin_write(["a", "b"])
    assert not table.is_current(before)
    assert table.end_write(write)
    assert table.read(["a", "b"]) is not None
    table.close()


async def test_a_process_without_a_free_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROCESS_SLOTS", 2)
    one, two = GenerationTable(tmp_path), GenerationTable(tmp_path)
    with pytest.raises(ConfigurationError, match="RUNTIME_DIR"):
        GenerationTable(tmp_path)
    one.close()
    two.close()


async def test_closing_does_not_wait_for_dead_processes(tmp_path: Path) -> None:
    """The timer that opens what a dead process left closed ends after the table: it must not touch the closed map."""
    await leave_closed(tmp_path)
    table = GenerationTable(tmp_path)
    table.close()
    table._finish_recovery(table._slot, [1])
    assert table._map.closed
    assert table._locks == {}


def test_the_default_folder_lies_beside_sqlite_or_in_the_temporary_folder() -> None:
    assert default_runtime_dir("sqlite:///var/shop.db") == Path("var/shop.db-runtime")
    one, two = default_runtime_dir("postgresql://a/b"), default_runtime_dir("postgresql://a/c")
    assert one != two
    assert "a/b" not in str(one)
    assert one.parent.is_dir()


async def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without the check: whoever made a folder of that name first would say what everyone gets to see."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr("restwell.cache.local.os.geteuid", lambda: 54_321)
    with pytest.raises(ConfigurationError, match="RUNTIME_DIR"):
        await LocalStore(tmp_path / "theirs", 1_000_000).start()


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
    """Breaks when each makes it as it comes: to two workers of a new folder it was locked, and those had nothing to share."""
    for number in range(10):
        stores = [LocalStore(tmp_path / str(number), 300_000) for _ in range(8)]
        with capture_logs() as told:
            await asyncio.gather(*(store.start() for store in stores))
        await stores[0].set("key", b"value", 60)
        assert {(await store.get("key", ["tag"])).data for store in stores} == {b"value"}
        for store in stores:
            await store.close()
        assert told == []
