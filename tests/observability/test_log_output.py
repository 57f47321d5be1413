"""Log lines while standard output fails or is not read, and after it recovers, in a child process with a real file and
pipe.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from restwell.observability._log_output import BUFFER_LINES

AT_LINE_END = 10 * 13 + 90 * 14 + 500 * 15
SETUP = """
import resource, sys
from msgspec import Struct
from prometheus_client import CollectorRegistry
from restwell.observability._log_output import output
from restwell.observability._logs import configure_logs
from restwell.settings import LogSettings

class Line(Struct):
    number: int

configure_logs(LogSettings(format="json"))
registry = CollectorRegistry()
registry.register(output)

def report_dropped():
    print(int(registry.get_sample_value("restwell_log_lines_dropped_total")), file=sys.stderr, flush=True)
"""
FULL_DISK = """
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
for number in range(1_000):
    output.write_text('{"number":%d}' % number)
output.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
output.write(Line(-1))
output.flush()
output.flush()
report_dropped()
"""
UNREAD_PIPE = """
for number in range(int(sys.argv[1])):
    output.write(Line(number))
report_dropped()
sys.stdin.readline()
output.flush(30)
output.flush(30)
"""
EXIT = """
import os
from multiprocessing import get_context
output.write(Line(1))
child = get_context("fork").Process(target=output.write, args=(Line(2),))
child.start()
child.join()
"""


@pytest.mark.integration
def test_a_process_that_ends_writes_its_last_lines() -> None:
    """Breaks without the flush at exit, and when `atexit` does it, which a forked process does not call."""
    command = [sys.executable, "-c", SETUP + EXIT]
    written = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert sorted(json.loads(line)["number"] for line in written.splitlines()) == [1, 2]


@pytest.mark.integration
@pytest.mark.parametrize("limit", [AT_LINE_END, AT_LINE_END + 7])
def test_a_full_disk_drops_lines_and_never_joins_two(tmp_path: Path, limit: int) -> None:
    """Breaks when a partially written line is not terminated before the next one: both are then unreadable.

    Breaks when the metric does not count the lines that could not be written.
    """
    with (tmp_path / "log").open("wb") as file:
        command = [sys.executable, "-c", SETUP + FULL_DISK, str(limit)]
        dropped_count = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=True).stderr
    *written, last, report = [line for line in (tmp_path / "log").read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line)["number"] for line in written] == list(range(len(written)))
    assert len(written) + int(dropped_count) == 1_000
    assert json.loads(last) == {"number": -1}
    assert (json.loads(report)["event"], json.loads(report)["total"]) == ("log_lines_dropped", int(dropped_count))


@pytest.mark.integration
def test_a_pipe_that_is_read_again_gets_the_buffered_lines_and_the_number_of_dropped_ones() -> None:
    """Breaks when the log buffer is unbounded, and when dropped lines are not logged, or not counted by the metric."""
    written = 2 * BUFFER_LINES + 2_000  # one full buffer, and at most one more being written
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    command = [sys.executable, "-c", SETUP + UNREAD_PIPE, str(written)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=writing, stderr=pipe) as process, os.fdopen(reading) as lines:
        os.close(writing)
        assert process.stdin is not None
        assert process.stderr is not None
        dropped = int(process.stderr.readline())
        process.stdin.close()
        parsed = [json.loads(line) for line in lines]
    assert process.returncode == 0
    dropped_count = next(line for line in parsed if "number" not in line)
    numbers = [line["number"] for line in parsed if "number" in line]
    assert len(numbers) >= BUFFER_LINES
    assert len(numbers) + dropped == written
    assert numbers == sorted(numbers)
    assert dropped_count["event"] == "log_lines_dropped"
    assert dropped_count["total"] - dropped in {0, 1}, "a report that finds the buffer full is dropped, and counted too"
