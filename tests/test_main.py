"""The first steps of the command. Signals are in tests/test_server_signals.py."""

import subprocess
import sys
from itertools import product

import pytest

CHECK = """
import os, socket, subprocess, sys
from restwell.__main__ import open_closed_streams

open_closed_streams()
assert socket.socket().fileno() > 2
print("out", file=sys.stdout, flush=True)
print("error", file=sys.stderr, flush=True)
assert sys.stdin.read() == ""
found = subprocess.run([sys.executable, "-c", "import os; [os.fstat(number) for number in range(3)]"])
sys.exit(found.returncode)
"""


@pytest.mark.parametrize(
    "closed",
    ["".join(each) for each in product(("", "<&- "), ("", ">&- "), ("", "2>&-"))],
    ids=lambda closed: closed or "none",
)
def test_a_closed_standard_stream_is_the_null_device(closed: str) -> None:
    """Breaks when a closed stream stays closed, or is open in this process only.

    A socket, or a file of a child process, then gets its descriptor.
    """
    command = ["sh", "-c", f'exec "$0" -W ignore -c "$1" {closed}', sys.executable, CHECK]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert found.stdout == ("" if ">&- " in closed else "out\n")
    assert found.stderr == ("" if "2>&-" in closed else "error\n")
