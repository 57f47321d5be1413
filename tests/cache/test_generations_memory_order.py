"""The order of accesses to the generation table, which decision 25 derives the absence of stale reads from.

The machine that runs these tests may reorder less than others, so the order of the calls is tested too, in one process.
"""

import ctypes
import fcntl
import os
import sys
import time
from asyncio import create_subprocess_exec, get_running_loop, wait_for
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from restwell.cache._generations import GenerationTable
from restwell.cache._store import PendingWrite

WRITER = """
import asyncio, os, pathlib, sys
from restwell.cache._generations import GenerationTable

async def write():
    table = GenerationTable(pathlib.Path(sys.argv[1]))
    database = os.open(sys.argv[2], os.O_RDWR)
    number = 0
    while os.getppid() == int(sys.argv[3]):
        number += 1
        pending = table.begin_write(["a"])
        os.pwrite(database, number.to_bytes(8, "little"), 0)  # the commit
        table.end_write(pending)
        os.pwrite(database, number.to_bytes(8, "little"), 8)  # the acknowledgement

asyncio.run(write())
"""


def in_fence(table: GenerationTable, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> list[object]:
    """Call ``action`` instead of each fence of the table. Returns what it has returned."""
    results: list[object] = []
    monkeypatch.setattr(table, "_fence", lambda: results.append(action()))
    return results


async def test_a_read_gets_generations_before_its_fence_and_flags_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when both are read on one side of the fence: a reader of the new generation could miss the flag."""
    reader, writer = GenerationTable(tmp_path), GenerationTable(tmp_path)
    pending: list[PendingWrite] = []
    in_fence(reader, monkeypatch, lambda: pending.append(writer.begin_write(["a"])))
    assert reader.read(["a"]) is None
    writer.end_write(pending.pop())
    in_fence(reader, monkeypatch, lambda: writer.end_write(writer.begin_write(["a"])))
    found = reader.read(["a"])
    assert found is not None
    assert not reader.is_current(found)
    reader.close()
    writer.close()


async def test_a_write_sets_its_flags_before_its_fence_and_generations_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when both are stored on one side of the fence, or when each tag has its own fence."""
    reader, writer = GenerationTable(tmp_path), GenerationTable(tmp_path)
    before = {tag: reader.read([tag]) for tag in ("a", "b")}
    assert None not in before.values()
    seen = in_fence(
        writer,
        monkeypatch,
        lambda: [(reader.read([tag]), reader.is_current(old or ())) for tag, old in before.items()],
    )
    writer.begin_write(["a", "b"])
    assert seen == [[(None, True), (None, True)]]
    assert not any(reader.is_current(old or ()) for old in before.values())
    reader.close()
    writer.close()


async def test_a_process_that_is_stopped_in_its_fence_stops_no_other(tmp_path: Path) -> None:
    """Breaks when the lock is exclusive."""
    table = GenerationTable(tmp_path)
    with (tmp_path / "fence").open("wb") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_SH)
        pending = get_running_loop().run_in_executor(None, table.begin_write, ["a"])
        assert table.end_write(await wait_for(pending, 5))
        assert table.read(["a"]) is not None
    table.close()


@pytest.mark.integration
async def test_no_entry_is_older_than_an_acknowledged_write_of_another_process(tmp_path: Path) -> None:
    """Breaks when begin_write stores no generation, or a read does not look at the flags."""
    database = tmp_path / "database"
    database.write_bytes(bytes(16))
    table, file = GenerationTable(tmp_path), os.open(database, os.O_RDONLY)
    process = await create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), str(database), str(os.getpid()), stderr=PIPE
    )

    def number_at(offset: int) -> int:
        return int.from_bytes(os.pread(file, 8, offset), "little")

    entry, hits, deadline = None, 0, time.monotonic() + 60
    while hits < 20_000 and time.monotonic() < deadline:
        acknowledged = number_at(8)
        if entry is not None and table.is_current(entry[0]):
            hits += acknowledged > 0
            assert entry[1] >= acknowledged
            continue
        generations = table.read(["a"])
        value = number_at(0)
        entry = (generations, value) if generations is not None else None
    process.kill()
    _, errors = await process.communicate()
    assert errors == b""
    os.close(file)
    table.close()
    assert hits == 20_000


async def test_each_generation_is_one_aligned_word_of_the_machine(tmp_path: Path) -> None:
    """Breaks when the generations begin at ``self._view[4:]``: two parts of one would be read at different times."""
    table = GenerationTable(tmp_path)
    assert (table.generations.format, table.generations.itemsize) == ("Q", 8)
    first = ctypes.c_uint64.from_buffer(table.generations)
    assert ctypes.addressof(first) % 8 == 0
    del first
    table.close()
