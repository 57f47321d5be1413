"""Child processes: each ends with its parent, and loses no signal when it begins.

A process that outlived its parent would keep the port, or go on with jobs while nothing watches it.
"""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Final

STOP_SECONDS: Final = 30
"""How long a process may take to end in order before it is ended."""
LOOK_SECONDS: Final = 0.5


def exit_with_parent() -> None:
    """End this process, as by SIGTERM, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def kill_children() -> None:
    """End what this process has started, at once."""
    for child in multiprocessing.active_children():
        child.kill()


def block_sigterm_during_fork() -> None:
    """Let a forked process end at a SIGTERM from its first moment on.

    It would begin with its parent's handler, which swallows the signal, until it sets its own. So the signal waits
    during the fork, and finds the default action after it.
    """
    stop = {signal.SIGTERM}

    def begin() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, stop),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stop),
        after_in_child=begin,
    )


def _end_after(parent: BaseProcess) -> None:
    """The parent's pipe would not do: a sibling that was forked later has its other end too, and keeps it open."""
    while os.getppid() == parent.pid:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)
