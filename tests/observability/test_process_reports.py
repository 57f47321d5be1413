"""What the processes of a machine report about themselves."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from restwell.jobs import WorkerOptions
from restwell.observability import _metrics as metrics_module
from restwell.observability._metrics import Metrics
from restwell.observability._process_reports import (
    FACTS,
    MAX_SECTION_BYTES,
    ProcessFacts,
    ProcessReports,
    Report,
    memory_bytes,
    read_section,
)
from restwell.observability._watchdog import MAX_BLOCKS, MAX_STACK_BYTES, REPORT, Block
from restwell.settings import DatabaseSettings, MetricsSettings, Settings
from tiny.app import create_app

OTHER = """
import asyncio, sys
from pathlib import Path
from restwell.observability._metrics import Metrics

async def main():
    metrics = Metrics(Path(sys.argv[1]))
    metrics.reports.kind, metrics.reports.version = "worker", "2.0"
    metrics.reports.add("queues", lambda: ["emails"])
    await metrics.start()
    print("published", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", OTHER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"published\n"
        yield process
        process.kill()


def facts(report: Report) -> ProcessFacts:
    found = read_section(report, FACTS, ProcessFacts)
    assert found is not None
    return found


async def test_a_process_reads_the_reports_of_all_processes_of_its_machine(tmp_path: Path) -> None:
    """Breaks when only the own report is read."""
    metrics = Metrics(tmp_path)
    await metrics.start()
    with other_process(tmp_path) as process:
        own, other = await metrics.process_reports()
    await metrics.close()
    assert (facts(own).pid, facts(own).kind) == (os.getpid(), "server")
    found = facts(other)
    assert (found.pid, found.kind, found.version) == (process.pid, "worker", "2.0")
    assert found.python == sys.version.split()[0]
    assert found.memory_bytes > 1_000_000
    assert datetime.now(UTC) - found.reported_at < timedelta(seconds=60)
    assert found.started_at <= found.reported_at
    assert read_section(other, "queues", list[str]) == ["emails"]
    assert read_section(own, "queues", list[str]) is None


async def test_a_process_without_a_folder_reports_itself(tmp_path: Path) -> None:
    assert [facts(report).pid for report in await Metrics(None).process_reports()] == [os.getpid()]
    assert len(await Metrics(tmp_path / "gone").process_reports()) == 1


def test_a_section_of_another_release_is_not_read() -> None:
    """Breaks when a decoding error is raised: during a deploy, the page of the new release would be a 500."""
    reports = ProcessReports()
    reports.add("queues", lambda: {"emails": 3})
    assert read_section(reports.own(), "queues", list[str]) is None


async def test_a_section_that_is_too_large_or_raises_is_left_out_and_the_metrics_are_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the exception ends the publication: the metrics of the process would stop."""
    monkeypatch.setattr(metrics_module, "PUBLISH_SECONDS", 0.01)
    metrics = Metrics(tmp_path)
    metrics.reports.add("large", lambda: bytes(MAX_SECTION_BYTES))
    metrics.reports.add("broken", lambda: 1 / 0)
    with capture_logs() as logged:
        await metrics.start()
        file = next(tmp_path.glob("*.metrics"))
        before = file.stat().st_ino
        async with asyncio.timeout(10):
            while file.stat().st_ino == before:
                await asyncio.sleep(0.01)
        assert [*metrics.reports.own()] == [FACTS]
        await metrics.close()
    assert [(line["event"], line["section"]) for line in logged] == [
        ("process_report_omitted", "large"),
        ("process_report_omitted", "broken"),
    ]


async def test_the_application_reports_its_version_and_the_blocks_of_its_event_loop(
    tmp_path: Path, empty_url: str, tiny_settings: Settings
) -> None:
    """Breaks when the longest stacks do not fit: the section would be missing when it is needed."""
    app = create_app(
        tiny_settings.model_copy(
            update={
                "database": DatabaseSettings(url=SecretStr(empty_url)),
                "metrics": MetricsSettings(dir=tmp_path),
            }
        )
    )
    stack = "x" * MAX_STACK_BYTES
    blocks = [Block(datetime.now(UTC), 0.1 * number, stack) for number in range(MAX_BLOCKS)]
    app.kit.watchdog.blocks.extend(blocks)
    (report,) = await app.kit.metrics.process_reports()
    assert (facts(report).version, facts(report).kind) == ("1.0.0", "server")
    assert read_section(report, REPORT, list[Block]) == blocks
    app.worker(WorkerOptions(queues=("default",)))
    (report,) = await app.kit.metrics.process_reports()
    assert facts(report).kind == "worker"


def test_the_memory_is_the_peak_where_there_is_no_current_value(monkeypatch: pytest.MonkeyPatch) -> None:
    current = memory_bytes()
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert memory_bytes() >= current * 0.9


def test_a_report_costs_little() -> None:
    """Breaks when the facts start a process or resolve a name: the report is made in the event loop each second."""
    reports = ProcessReports()
    reports.own()
    began = time.thread_time()
    for _ in range(100):
        reports.own()
    assert (time.thread_time() - began) / 100 < 0.002
