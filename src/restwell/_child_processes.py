"""Child processes that exit with their parent and handle SIGTERM from the start.

A process that outlives its parent would keep the port in use, or run jobs without a supervisor.
"""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Final

STOP_SECONDS: Final = 30
"""How long a process may take to shut down after SIGTERM before it is killed."""
POLL_SECONDS: Final = 0.5


def exit_with_parent(seconds: float = STOP_SECONDS) -> None:
    """Send SIGTERM to this process when its parent exits, and exit after ``seconds``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent, seconds), daemon=True).start()


def kill_children() -> None:
    """Kill all child processes of this process."""
    for child in multiprocessing.active_children():
        child.kill()


def block_sigterm_during_fork() -> None:
    """Make SIGTERM terminate a forked process from its first instruction.

    A child starts with its parent's handler, which would ignore the signal. So SIGTERM is blocked during the fork, and
    the child restores the default action before it unblocks it.
    """
    sigterm = {signal.SIGTERM}

    def in_child() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, sigterm)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, sigterm),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, sigterm),
        after_in_child=in_child,
    )


def _exit_after(parent: BaseProcess, seconds: float) -> None:
    """Poll the parent's id.

    Waiting for its pipe does not work: a sibling that was forked later keeps the other end open.
    """
    while os.getppid() == parent.pid:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(1)
