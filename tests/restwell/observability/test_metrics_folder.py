"""The folder of metrics: files of ended processes become one, and no count is lost or doubled on the way."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from restwell.observability.metrics import Metrics
from restwell.observability.metrics_folder import Family, MetricsFolder

OURS = "1-" + "a" * 32
NEVER = 2**22 + 1
"""No process has that number (proc(5): PID_MAX_LIMIT)."""
PROCESS = """
import sys
from pathlib import Path
from restwell.observability.metrics_folder import Family, MetricsFolder
folder = MetricsFolder(Path(sys.argv[1]))
folder.publish([
    Family("orders", "", "counter", [("orders_total", {}, 3.0)]),
    Family("connections", "", "gauge", [("connections", {}, 7.0)]),
])
print("published", flush=True)
sys.stdin.read()
"""
FOLDING = """
import sys
from pathlib import Path
from restwell.observability.metrics_folder import MetricsFolder
folder = MetricsFolder(Path(sys.argv[1]))
sys.stdin.read(1)
for _ in range(20):
    folder.fold()
"""


def scraped(folder: Path) -> dict[str, float]:
    """What a process that has counted one order sees."""
    metrics = Metrics(folder)
    Counter("orders", "Orders.", registry=metrics.registry).inc()
    Gauge("connections", "Connections.", registry=metrics.registry).set(1)
    Histogram("seconds", "Time.", buckets=(1,), registry=metrics.registry).observe(2)
    text = asyncio.run(metrics.exposition()).decode()
    return {
        f"{sample.name}{sample.labels or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def content(orders: int = 3) -> bytes:
    return msgspec.msgpack.encode(
        [
            Family("orders", "", "counter", [("orders_total", {}, orders), ("orders_created", {}, 1e9)]),
            Family("connections", "", "gauge", [("connections", {}, 7)]),
            Family("seconds", "", "histogram", [("seconds_bucket", {"le": "+Inf"}, 2), ("seconds_count", {}, 2)]),
        ]
    )


def ended(folder: Path, count: int, data: bytes | None = None, process: int = NEVER) -> list[Path]:
    """Files of processes that ended a while ago."""
    files = [folder / f"{process}-{uuid4().hex}.metrics" for _ in range(count)]
    for file in files:
        file.write_bytes(content() if data is None else data)
        age(file)
    return files


def age(file: Path) -> None:
    os.utime(file, (1e9, 1e9))


@contextmanager
def living(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has published three orders and seven connections."""
    process = subprocess.Popen([sys.executable, "-c", PROCESS, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"published\n"
        try:
            yield process
        finally:
            process.kill()


def test_files_of_ended_processes_are_merged_and_counters_kept(tmp_path: Path) -> None:
    """Breaks when each file stays: a scrape with 3,000 of them takes seconds, and each one that follows."""
    ended(tmp_path, 2_000)
    for _ in range(2):
        found = scraped(tmp_path)
        assert found["orders_total"] == 6_001
        assert found["seconds_count"] == 4_001
        assert found["seconds_bucket{'le': '+Inf'}"] == 4_001
        assert found["connections"] == 1  # what an ended process held is gone
        assert found["orders_created"] == 1e9
        assert len(list(tmp_path.iterdir())) <= 2
    ended(tmp_path, 10)
    assert scraped(tmp_path)["orders_total"] == 6_031
    assert len(list(tmp_path.iterdir())) <= 2


async def test_the_start_of_a_process_merges_old_files(tmp_path: Path) -> None:
    """Breaks when only a scrape merges files: where nothing scrapes, they stay for ever."""
    ended(tmp_path, 20)
    metrics = Metrics(tmp_path)
    await metrics.start()
    await metrics.close()
    assert len(list(tmp_path.glob("*.metrics"))) == 1


def test_the_file_of_a_process_that_has_just_ended_is_not_merged_yet(tmp_path: Path) -> None:
    """Breaks when a scrape merges the file at once: it would also merge one that was just created and is not locked yet."""
    with living(tmp_path) as process:
        pass
    assert scraped(tmp_path)["orders_total"] == 4
    assert scraped(tmp_path)["connections"] == 1
    assert any(tmp_path.glob(f"{process.pid}-*.metrics"))


def test_a_live_process_keeps_its_file_however_old(tmp_path: Path) -> None:
    """Breaks when age or process id decides: the file of a process that hangs, or runs in another container, would be merged."""
    with living(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        (file,) = tmp_path.glob("*.metrics")
        file = file.rename(tmp_path / f"{NEVER}-{uuid4().hex}.metrics")
        age(file)
        found = scraped(tmp_path)
        assert (found["orders_total"], found["connections"]) == (4, 8)
        assert file.exists()


def test_a_reused_process_id_does_not_keep_the_file_of_the_ended_process(tmp_path: Path) -> None:
    """Breaks when the process id decides: after a restart of the container a new process has it."""
    ended(tmp_path, 1, process=os.getpid())
    found = scraped(tmp_path)
    assert (found["orders_total"], found["connections"]) == (4, 1)
    assert not list(tmp_path.glob("*.metrics"))


def test_a_merge_killed_before_it_deleted_its_files_counts_them_once(tmp_path: Path) -> None:
    """Breaks when the sum does not name the files that it holds: they count twice."""
    files = ended(tmp_path, 5)
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    MetricsFolder(tmp_path).fold()
    for file in files[:3]:
        shutil.copy2(copy / file.name, file)
    (tmp_path / "folded.part").write_bytes(b"half")
    assert {family.name: family.samples[0][2] for family in MetricsFolder(tmp_path).others()}["orders"] == 15
    ended(tmp_path, 1)
    for _ in range(2):
        assert scraped(tmp_path)["orders_total"] == 19
        assert not list(tmp_path.glob("*.metrics"))


def test_a_file_that_cannot_be_deleted_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when its name is forgotten at the next fold."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    for number in range(1, 4):
        ended(tmp_path, 1)
        assert scraped(tmp_path)["orders_total"] == 1 + 3 * number


def test_concurrent_merges_count_each_file_once(tmp_path: Path) -> None:
    """Breaks without the lock, and when a reader does not see that files were folded while it read."""
    ended(tmp_path, 300)
    folding = [subprocess.Popen([sys.executable, "-c", FOLDING, tmp_path], stdin=subprocess.PIPE) for _ in range(3)]
    for process in folding:
        assert process.stdin is not None
        process.stdin.close()
    reader, totals = MetricsFolder(tmp_path), set()
    while any(process.poll() is None for process in folding):
        totals.add({family.name: family for family in _merged(reader)}["orders"].samples[0][2])
    assert [process.returncode for process in folding] == [0, 0, 0]
    assert totals == {900}
    assert not list(tmp_path.glob("*.metrics"))


def _merged(folder: MetricsFolder) -> list[Family]:
    orders = [family for family in folder.others() if family.name == "orders"]
    return [Family("orders", "", "counter", [("orders_total", {}, sum(one.samples[0][2] for one in orders))])]


def test_a_process_that_hangs_in_a_merge_blocks_no_scrape(tmp_path: Path) -> None:
    """Breaks when a scrape waits for the lock."""
    ended(tmp_path, 2)
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); time.sleep(20)"
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert scraped(tmp_path)["orders_total"] == 7
        assert holder.poll() is None, "the scrape has waited for it"
        holder.kill()


def test_a_process_is_visible_while_it_replaces_its_file(tmp_path: Path) -> None:
    """Breaks when the lock of the file before counts for the one that has just replaced it."""
    folder, reader, done = MetricsFolder(tmp_path), MetricsFolder(tmp_path), threading.Event()
    families = [Family("connections", "", "gauge", [("connections", {}, 7.0)])]
    folder.publish(families)

    def publish() -> None:
        while not done.is_set():
            folder.publish(families)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        seen = [len(reader.others()) for _ in range(500)]
    finally:
        done.set()
        thread.join()
        folder.release()
    assert set(seen) == {1}


@pytest.mark.parametrize(
    "name",
    ["foo.metrics", "-1.metrics", "1.metrics", f"x{OURS}.metrics", f"{OURS}.metrics.bak", "१-" + "a" * 32 + ".metrics"],
)
def test_foreign_files_are_neither_read_nor_deleted(tmp_path: Path, name: str) -> None:
    """Breaks when every file is one of ours: ``foo.metrics`` made each scrape a 500."""
    (tmp_path / name).write_bytes(content())
    age(tmp_path / name)
    assert scraped(tmp_path)["orders_total"] == 1
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        content()[:-5],
        b"\xff of another release",
        msgspec.msgpack.encode({"orders": 3}),
        content().replace(b"gauge", b"gouge"),
        content().replace(b"connections", b"connection\xff"),
    ],
    ids=["empty", "half", "bytes", "shape", "kind", "utf-8"],
)
@pytest.mark.parametrize("name", [f"{OURS}.metrics", f"{OURS}.part", "folded"])
def test_unreadable_files_are_skipped_and_deleted(tmp_path: Path, name: str, data: bytes) -> None:
    """Breaks when what a power cut or another release left makes a scrape a 500, or stays for ever."""
    (tmp_path / name).write_bytes(data)
    age(tmp_path / name)
    ended(tmp_path, 1)
    assert scraped(tmp_path)["orders_total"] == 4
    assert {file.name for file in tmp_path.iterdir()} == {"folded", "lock"}
    assert scraped(tmp_path)["orders_total"] == 4


def test_a_pipe_or_folder_named_like_a_metrics_file_is_not_opened(tmp_path: Path) -> None:
    """Breaks when a pipe of that name is opened: this waits for a writer, and the scrape with it."""
    os.mkfifo(tmp_path / f"{OURS}.metrics")
    (tmp_path / f"{OURS[:-1]}b.metrics").mkdir()
    assert scraped(tmp_path)["orders_total"] == 1
