"""Serving while the code changes: a new process for each change, the first one forked so that it starts at once."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import structlog
from watchfiles import PythonFilter, watch
from watchfiles.main import FileChange

log = structlog.get_logger("restwell.reload")

FOLDERS: Final = ("src", "migrations")
CHECK_MS: Final = 500
DEBOUNCE_MS: Final = 200
STOP_SECONDS: Final = 10


def run_with_reload(target: Callable[[], None], *, gives_up_on: int) -> None:
    """Run ``target`` in a child process, and again in a fresh one whenever Python code below FOLDERS changes.

    ``target`` is a module's function that takes no arguments. A child that exits with ``gives_up_on`` ends this process
    with the same code; one that ends otherwise, over a slip in the code, is started again at the next change.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: they stop the child before they end this process
        signal.signal(number, signal.default_int_handler)
    child = _start("fork", target)
    try:
        changes = _changes()
        while child.exitcode != gives_up_on:
            if changed := next(changes):
                log.warning("reloading", changed=sorted({path for _, path in changed}))
                _stop(child)
                child = _start("spawn", target)
        raise SystemExit(gives_up_on)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # told again, the child ends at once
            signal.signal(number, lambda *_: child.terminate())
    finally:
        _stop(child)


def _changes() -> Iterator[set[FileChange]]:
    """The changed files, or an empty set at least every CHECK_MS. Raises KeyboardInterrupt."""
    folders = [folder for folder in map(Path, FOLDERS) if folder.is_dir()]
    return watch(
        *folders, watch_filter=PythonFilter(), debounce=DEBOUNCE_MS, rust_timeout=CHECK_MS, yield_on_timeout=True
    )


def _start(method: str, target: Callable[[], None]) -> BaseProcess:
    child: BaseProcess = multiprocessing.get_context(method).Process(target=target)  # type: ignore[attr-defined]  # every context has it
    child.start()
    return child


def _stop(child: BaseProcess) -> None:
    child.terminate()
    child.join(STOP_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
