"""The generation table of a machine."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from restwell.cache import _generations as module
from restwell.cache._generations import GenerationTable
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
    assert two.read_each(["a", "b"]) == [None, *other]
    assert one.end_write(write)
    after = two.read(["a"])
    assert after == (write.generations["a"],)
    assert after != before
    one.close()
    two.close()


@pytest.mark.integration
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


@pytest.mark.integration
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


@pytest.mark.slow
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


@pytest.mark.integration
async def test_closing_does_not_wait_for_dead_processes(tmp_path: Path) -> None:
    """The recovery timer fires after close() and must not access the closed map."""
    await die_during_write(tmp_path)
    table = GenerationTable(tmp_path)
    table.close()
    table._finish_recovery(table._slot, [1])
    assert table._map.closed
    assert table._locks == {}


async def test_a_seeded_random_module_repeats_no_generation(tmp_path: Path) -> None:
    """Hypothesis seeds it for each example, and so do applications. Breaks with a generation from ``random``."""
    table, seen = GenerationTable(tmp_path), set()
    for _ in range(3):
        random.seed(0)
        table.end_write(table.begin_write(["a"]))
        seen.add(table.read(["a"]))
        table.invalidate(["a"])
        seen.add(table.read(["a"]))
    assert len(seen) == 6
    table.close()
