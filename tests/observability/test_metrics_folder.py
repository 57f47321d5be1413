"""The metrics folder: files of exited processes are compacted, and each count is included exactly once."""

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
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.parser import text_string_to_metric_families

from restwell.observability._metric_families import Series, TraceExample
from restwell.observability._metrics import Metrics
from restwell.observability._metrics_folder import Family, MetricsFolder, merge

VALID_NAME = "1-" + "a" * 32
UNUSED_PID = 2**22 + 1
"""Above the largest process id (proc(5): PID_MAX_LIMIT)."""
PROCESS = """
import sys
from pathlib import Path
from restwell.observability._metrics_folder import Family, MetricsFolder
folder = MetricsFolder(Path(sys.argv[1]))
folder.publish([
    Family("orders", "", "counter", [("orders_total", {}, 3.0)]),
    Family("connections", "", "gauge", [("connections", {}, 7.0)]),
], {"process": b"facts"})
print("published", flush=True)
sys.stdin.read()
"""
COMPACTING = """
import sys
from pathlib import Path
from restwell.observability._metrics_folder import MetricsFolder
folder = MetricsFolder(Path(sys.argv[1]))
sys.stdin.read(1)
for _ in range(20):
    folder.compact()
"""


def scraped(folder: Path) -> dict[str, float]:
    """The samples of a scrape in a process that has counted one order."""
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
    families = [
        Family("orders", "", "counter", [("orders_total", {}, orders), ("orders_created", {}, 1e9)]),
        Family("connections", "", "gauge", [("connections", {}, 7)]),
        Family("seconds", "", "histogram", [("seconds_bucket", {"le": "+Inf"}, 2), ("seconds_count", {}, 2)]),
    ]
    return msgspec.msgpack.encode({"families": families, "report": {"process": b"facts"}})


def add_exited(folder: Path, count: int, data: bytes | None = None, process: int = UNUSED_PID) -> list[Path]:
    """Add the files of processes that exited long ago."""
    files = [folder / f"{process}-{uuid4().hex}.metrics" for _ in range(count)]
    for file in files:
        file.write_bytes(content() if data is None else data)
        age(file)
    return files


def age(file: Path) -> None:
    os.utime(file, (1e9, 1e9))


@contextmanager
def running_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has published three orders and seven connections."""
    process = subprocess.Popen([sys.executable, "-c", PROCESS, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"published\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_files_of_exited_processes_are_merged_and_counters_kept(tmp_path: Path) -> None:
    """Breaks without compaction: a scrape of thousands of files takes seconds."""
    add_exited(tmp_path, 2_000)
    for _ in range(2):
        found = scraped(tmp_path)
        assert found["orders_total"] == 6_001
        assert found["seconds_count"] == 4_001
        assert found["seconds_bucket{'le': '+Inf'}"] == 4_001
        assert found["connections"] == 1  # gauges of exited processes are dropped
        assert found["orders_created"] == 1e9
        assert len(list(tmp_path.iterdir())) <= 2
    add_exited(tmp_path, 10)
    assert scraped(tmp_path)["orders_total"] == 6_031
    assert len(list(tmp_path.iterdir())) <= 2


async def test_the_start_of_a_process_merges_old_files(tmp_path: Path) -> None:
    """Breaks when only a scrape compacts files: without scrapes they accumulate."""
    add_exited(tmp_path, 20)
    metrics = Metrics(tmp_path)
    await metrics.start()
    await metrics.close()
    assert len(list(tmp_path.glob("*.metrics"))) == 1


def test_the_file_of_a_process_that_has_just_exited_is_not_merged_yet(tmp_path: Path) -> None:
    """Breaks when a scrape compacts a new file, which may have been created and not locked yet."""
    with running_process(tmp_path) as process:
        pass
    assert scraped(tmp_path)["orders_total"] == 4
    assert scraped(tmp_path)["connections"] == 1
    assert any(tmp_path.glob(f"{process.pid}-*.metrics"))


def test_a_live_process_keeps_its_file_however_old(tmp_path: Path) -> None:
    """Breaks when the age or the process id decides: a process may hang, or run in another container."""
    with running_process(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        (file,) = tmp_path.glob("*.metrics")
        file = file.rename(tmp_path / f"{UNUSED_PID}-{uuid4().hex}.metrics")
        age(file)
        found = scraped(tmp_path)
        assert (found["orders_total"], found["connections"]) == (4, 8)
        assert file.exists()


def test_a_reused_process_id_does_not_keep_the_file_of_the_exited_process(tmp_path: Path) -> None:
    """Breaks when the process id decides: a new process may have it after a restart of the container."""
    add_exited(tmp_path, 1, process=os.getpid())
    found = scraped(tmp_path)
    assert (found["orders_total"], found["connections"]) == (4, 1)
    assert not list(tmp_path.glob("*.metrics"))


def test_a_merge_killed_before_it_deleted_its_files_counts_them_once(tmp_path: Path) -> None:
    """Breaks when the compacted file does not list its source files: they then count twice."""
    files = add_exited(tmp_path, 5)
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    MetricsFolder(tmp_path).compact()
    for file in files[:3]:
        shutil.copy2(copy / file.name, file)
    (tmp_path / "compacted.part").write_bytes(b"half")
    assert {family.name: family.samples[0][2] for family in MetricsFolder(tmp_path).others()}["orders"] == 15
    add_exited(tmp_path, 1)
    for _ in range(2):
        assert scraped(tmp_path)["orders_total"] == 19
        assert not list(tmp_path.glob("*.metrics"))


def test_a_file_that_cannot_be_deleted_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the next compaction drops the name of the file."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    for number in range(1, 4):
        add_exited(tmp_path, 1)
        assert scraped(tmp_path)["orders_total"] == 1 + 3 * number


@pytest.mark.integration
def test_concurrent_merges_count_each_file_once(tmp_path: Path) -> None:
    """Breaks without the lock, and when a reader does not notice a compaction during its read."""
    add_exited(tmp_path, 300)
    compacting = [
        subprocess.Popen([sys.executable, "-c", COMPACTING, tmp_path], stdin=subprocess.PIPE) for _ in range(3)
    ]
    for process in compacting:
        assert process.stdin is not None
        process.stdin.close()
    reader, totals = MetricsFolder(tmp_path), set()
    while any(process.poll() is None for process in compacting):
        totals.add({family.name: family for family in _merged(reader)}["orders"].samples[0][2])
    assert [process.returncode for process in compacting] == [0, 0, 0]
    assert totals == {900}
    assert not list(tmp_path.glob("*.metrics"))


def _merged(folder: MetricsFolder) -> list[Family]:
    orders = [family for family in folder.others() if family.name == "orders"]
    return [Family("orders", "", "counter", [("orders_total", {}, sum(one.samples[0][2] for one in orders))])]


def test_a_process_that_hangs_in_a_compaction_blocks_no_scrape(tmp_path: Path) -> None:
    """Breaks when a scrape waits for the lock."""
    add_exited(tmp_path, 2)
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'ab');"
        " fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); time.sleep(20)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert scraped(tmp_path)["orders_total"] == 7
        assert holder.poll() is None, "the scrape waited for the lock"
        holder.kill()


def test_a_process_is_visible_while_it_replaces_its_file(tmp_path: Path) -> None:
    """Breaks when the lock of the replaced file is taken for the lock of the new one."""
    folder, reader, done = MetricsFolder(tmp_path), MetricsFolder(tmp_path), threading.Event()
    families = [Family("connections", "", "gauge", [("connections", {}, 7.0)])]
    folder.publish(families, {})

    def publish() -> None:
        while not done.is_set():
            folder.publish(families, {})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        counts = [len(reader.others()) for _ in range(500)]
    finally:
        done.set()
        thread.join()
        folder.release()
    assert set(counts) == {1}


def test_the_reports_of_live_processes_are_read_and_those_of_exited_ones_are_not(tmp_path: Path) -> None:
    """Breaks when the report of an exited process is read too: it would be shown as running."""
    add_exited(tmp_path, 2)
    reader = MetricsFolder(tmp_path)
    reader.publish([], {"process": b"its own"})
    with running_process(tmp_path) as process:
        assert reader.reports() == [{"process": b"facts"}]
        process.kill()
        process.wait()
        assert reader.reports() == []
    reader.release()


@pytest.mark.parametrize(
    "name",
    [
        "foo.metrics",
        "-1.metrics",
        "1.metrics",
        f"x{VALID_NAME}.metrics",
        f"{VALID_NAME}.metrics.bak",
        "१-" + "a" * 32 + ".metrics",
    ],
)
def test_foreign_files_are_neither_read_nor_deleted(tmp_path: Path, name: str) -> None:
    """Breaks when every file is read: ``foo.metrics`` then turns each scrape into a 500."""
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
@pytest.mark.parametrize("name", [f"{VALID_NAME}.metrics", f"{VALID_NAME}.part", "compacted"])
def test_unreadable_files_are_skipped_and_deleted(tmp_path: Path, name: str, data: bytes) -> None:
    """Breaks when a file truncated by a power cut, or of another release, causes a 500 or is never deleted."""
    (tmp_path / name).write_bytes(data)
    age(tmp_path / name)
    add_exited(tmp_path, 1)
    assert scraped(tmp_path)["orders_total"] == 4
    assert {file.name for file in tmp_path.iterdir()} == {"compacted", "lock"}
    assert scraped(tmp_path)["orders_total"] == 4


def test_a_pipe_or_folder_named_like_a_metrics_file_is_not_opened(tmp_path: Path) -> None:
    """Breaks when a pipe with such a name is opened: the scrape then blocks until there is a writer."""
    os.mkfifo(tmp_path / f"{VALID_NAME}.metrics")
    (tmp_path / f"{VALID_NAME[:-1]}b.metrics").mkdir()
    assert scraped(tmp_path)["orders_total"] == 1


def test_a_histogram_with_other_buckets_is_left_out() -> None:
    """Breaks when the counts of different buckets are added: during a deploy, two releases share the folder."""

    def histogram(bounds: list[float], counts: list[int]) -> Family:
        return Family("seconds", "", "histogram", [], bounds, [Series({"kind": "a"}, counts, 1.5, {})])

    own = histogram([1.0, 2.0], [1, 2, 3])
    (merged,) = merge([own, histogram([1.0], [5, 5]), histogram([1.0, 2.0], [1, 0, 0])])
    assert merged.series == [Series({"kind": "a"}, [2, 2, 3], 3.0, {})]
    assert own.series[0].counts == [1, 2, 3], "the counts of the process are not changed"


def test_histograms_of_processes_are_merged_series_by_series_and_bucket_by_bucket() -> None:
    """Fails if one process replaces the counts or the sum of another, or if series are matched without their labels."""

    def histogram(*series: Series) -> Family:
        return Family("seconds", "", "histogram", [], [1.0, 2.0], list(series))

    (merged,) = merge(
        [
            histogram(Series({"kind": "a"}, [1, 2, 3], 1.5, {}), Series({"kind": "b"}, [0, 0, 1], 9.0, {})),
            histogram(Series({"kind": "b"}, [1, 0, 4], 7.0, {})),
            histogram(Series({"kind": "a"}, [0, 5, 0], 6.0, {}), Series({"kind": "c"}, [1, 0, 0], 0.5, {})),
        ]
    )
    assert merged.series == [
        Series({"kind": "a"}, [1, 7, 3], 7.5, {}),
        Series({"kind": "b"}, [1, 0, 5], 16.0, {}),
        Series({"kind": "c"}, [1, 0, 0], 0.5, {}),
    ]


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_newest_example_of_a_bucket_remains(*, newest_first: bool) -> None:
    """Fails if the example of the first process remains, or that of the last, and if a bucket loses its only one."""
    old, new, other = (TraceExample(name * 32, 0.5, at) for name, at in (("a", 1.0), ("b", 2.0), ("c", 0.0)))
    processes = [Series({}, [1, 0], 0.5, {0: old}), Series({}, [1, 1], 1.0, {0: new, 1: other})]
    if newest_first:
        processes.reverse()
    (merged,) = merge(Family("seconds", "", "histogram", [], [1.0], [series]) for series in processes)
    assert merged.series[0].examples == {0: new, 1: other}


def test_an_info_metric_is_1_however_many_processes_have_it(tmp_path: Path) -> None:
    """Fails if the values are added, as those of other gauges are: 1 becomes the number of processes."""
    workers = [Metrics(tmp_path), Metrics(tmp_path)]
    for one in workers:
        Info("build", "The release.", registry=one.registry).info({"version": "1"})
        Gauge("deprecation_info", "Dates.", ["sunset"], registry=one.registry).labels("2027").set(1)
        Gauge("connections", "Connections.", registry=one.registry).set(1)

    async def scrape() -> str:
        await workers[1].start()
        text = (await workers[0].exposition()).decode()
        await workers[1].close()
        return text

    values = {line.split(" ")[0]: line.split(" ")[1] for line in asyncio.run(scrape()).splitlines() if line[0] != "#"}
    assert values == {
        'build_info{version="1"}': "1.0",
        'deprecation_info{sunset="2027"}': "1.0",
        "connections": "2.0",
    }
