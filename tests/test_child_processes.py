"""Child processes exit with their parent, and SIGTERM ends a forked process from its first instruction."""

import multiprocessing
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event

import pytest

from restwell._child_processes import kill_children

ORPHAN = """
import multiprocessing, os, signal, sys, time
from restwell import _child_processes

def work():
    def stop(*_):
        os.write(1, b"stopped\\n")
        sys.exit()
    signal.signal(signal.SIGTERM, stop)
    _child_processes.POLL_SECONDS = 0.05
    _child_processes.exit_with_parent()
    os.write(1, b"started\\n")
    time.sleep(60)

def outlive():
    os.write(1, b"started\\n")
    time.sleep(2)
    os.write(1, b"sibling\\n")

fork = multiprocessing.get_context("fork")
for target in (work, outlive):
    fork.Process(target=target).start()
time.sleep(60)
"""
FORK = """
import multiprocessing, os, signal, sys, time
from restwell._child_processes import block_sigterm_during_fork

signal.signal(signal.SIGTERM, lambda *_: None)
parent = os.getpid()
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
block_sigterm_during_fork()
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
child.start()
child.join(10)
print(child.exitcode, signal.pthread_sigmask(signal.SIG_BLOCK, []))
child.kill()
"""


@pytest.mark.integration
def test_a_process_is_told_to_stop_when_its_parent_was_killed() -> None:
    """Breaks when a process waits for the pipe of its parent: its sibling, which was forked later, keeps it open."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == ["started\n"] * 2
        parent.kill()
        assert parent.stdout.read() == "stopped\nsibling\n"


@pytest.mark.integration
def test_sigterm_during_a_fork_ends_the_forked_process_and_not_its_parent() -> None:
    """Breaks when SIGTERM is not blocked: the handler of the parent, which a forked process starts with, ignores it."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout == f"{-signal.SIGTERM} set()\n"


@pytest.mark.slow
def test_all_children_are_killed_whatever_they_ignore() -> None:
    """Breaks when they get SIGTERM."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    children = [spawn.Process(target=_ignore_sigterm, args=(ready,)) for _ in range(2)]
    for child in children:
        child.start()
    assert ready.wait(30)
    kill_children()
    for child in children:
        child.join(10)
    assert [child.exitcode for child in children] == [-signal.SIGKILL] * 2


def _ignore_sigterm(ready: Event) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(60)
