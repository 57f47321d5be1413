"""Which process ends with which. No process of ours outlives the one that started it, however that ended: an orphan would keep the port, or work on unseen."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Final

STOP_SECONDS: Final = 30
"""How long a process may take to end in order before it is ended."""


def end_with_parent() -> None:
    """End this process, as by SIGTERM, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def kill_children() -> None:
    """End what this process has started, at once."""
    for child in multiprocessing.active_children():
        child.kill()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)
