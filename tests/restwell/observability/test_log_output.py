"""What becomes of lines while standard output fails, or is not read, and afterwards: in a process of its own, with a real file and a real pipe."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from restwell.observability.log_output import BUFFER_LINES

AT_A_LINES_END = 10 * 13 + 90 * 14 + 500 * 15
BEGINS = """
import resource, sys
from msgspec import Struct
from restwell.observability.log_output import output
from restwell.observability.logs import configure_logs
from restwell.settings import LogSettings

class Line(Struct):
    number: int

configure_logs(LogSettings(format="json"))
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
print(output.dropped, file=sys.stderr)
"""
NOT_READ = """
for number in range(int(sys.argv[1])):
    output.write(Line(number))
print(output.dropped, file=sys.stderr, flush=True)
sys.stdin.readline()
output.flush(30)
output.flush(30)
"""
ENDS = """
import os
from multiprocessing import get_context
output.write(Line(1))
child = get_context("fork").Process(target=output.write, args=(Line(2),))
child.start()
child.join()
"""


def test_a_process_that_ends_writes_its_last_lines() -> None:
    """Breaks when nothing waits for the thread at the end, or `atexit` does, which is not called in a forked process."""
    command = [sys.executable, "-c", BEGINS + ENDS]
    written = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert sorted(json.loads(line)["number"] for line in written.splitlines()) == [1, 2]


@pytest.mark.parametrize("limit", [AT_A_LINES_END, AT_A_LINES_END + 7])
def test_a_full_disk_loses_lines_and_joins_none_to_another(tmp_path: Path, limit: int) -> None:
    """Breaks when a line of which a part was written is not ended before the next: both cannot be read."""
    with (tmp_path / "log").open("wb") as file:
        command = [sys.executable, "-c", BEGINS + FULL_DISK, str(limit)]
        told = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=True).stderr
    *kept, last, said = [line for line in (tmp_path / "log").read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line)["number"] for line in kept] == list(range(len(kept)))
    assert len(kept) + int(told) == 1_000
    assert json.loads(last) == {"number": -1}
    assert (json.loads(said)["event"], json.loads(said)["total"]) == ("log_lines_dropped", int(told))


def test_a_pipe_that_is_read_again_gets_the_buffered_lines_and_the_number_lost() -> None:
    """The buffer of log lines is bounded. Breaks when it is not, or when the loss is not logged."""
    written = 2 * BUFFER_LINES + 2_000  # once in the buffer, and once on the way out at most
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    command = [sys.executable, "-c", BEGINS + NOT_READ, str(written)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=writing, stderr=pipe) as process, os.fdopen(reading) as lines:
        os.close(writing)
        assert process.stdin is not None
        assert process.stderr is not None
        lost = int(process.stderr.readline())
        process.stdin.close()
        found = [json.loads(line) for line in lines]
    assert process.returncode == 0
    told = next(line for line in found if "number" not in line)
    numbers = [line["number"] for line in found if "number" in line]
    assert len(numbers) >= BUFFER_LINES
    assert len(numbers) + lost == written
    assert numbers == sorted(numbers)
    assert (told["event"], told["total"]) == ("log_lines_dropped", lost)
