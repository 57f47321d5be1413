"""Serving while the code changes: a new process for each change, the first one forked so that it starts at once."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import structlog
from watchfiles import Change, DefaultFilter, watch
from watchfiles.main import FileChange

log = structlog.get_logger("restwell.reload")

FOLDERS: Final = ("src", "migrations", "templates")
"""Watched where they are there, with the application's package wherever that lies, and the files of the project's own folder."""
SUFFIXES: Final = (
    ".py",
    ".sql",
    ".toml",
    ".html",
    ".txt",
    ".xml",
    ".md",
    ".json",
    ".yaml",
    ".yml",
    ".j2",
    ".jinja",
    ".jinja2",
)
CHECK_MS: Final = 500
DEBOUNCE_MS: Final = 200
STOP_SECONDS: Final = 10


def run_with_reload(target: Callable[[], None], application: str, *, exit_on: int) -> None:
    """Run ``target`` in a child process, and again in a fresh one whenever a file changes that the project is made of.

    ``target`` is a module's function that takes no arguments; ``application`` is the name of the application's module. A first
    child that exits with ``exit_on`` ends this process with the same code. One that ends otherwise, over a slip in the code,
    is started again at the next change, and so is every later one.
    """
    changes = _changes(application)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: they stop the child before they end this process
        signal.signal(number, signal.default_int_handler)
    child, first, told = _start("fork", target), True, False
    try:
        for changed in changes:
            if changed:
                log.warning("reloading", changed=sorted({path for _, path in changed}))
                _stop(child)
                child, first, told = _start("spawn", target), False, False
            elif child.exitcode is not None and not told:
                if first and child.exitcode == exit_on:
                    raise SystemExit(exit_on)
                log.warning("waiting_for_change", exit_code=child.exitcode)
                told = True
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # told again, the child ends at once
            signal.signal(number, lambda *_: child.terminate())
    finally:
        _stop(child)


def _changes(application: str) -> Iterator[set[FileChange]]:
    """The changed files, or an empty set at least every CHECK_MS. Raises KeyboardInterrupt."""
    top = Path.cwd()
    folders = {folder for name in FOLDERS if (folder := top / name).is_dir()}
    spec = find_spec(application.partition(".")[0])  # which imports nothing
    if spec is not None:
        folders |= {Path(folder).resolve() for folder in spec.submodule_search_locations or ()}
    below = {folder for folder in folders if not folders.intersection(folder.parents)}
    watched = [_watch([top], recursive=False), *([_watch(sorted(below), recursive=True)] if below else [])]
    return (set().union(*changed) for changed in zip(*watched, strict=True))


def _watch(folders: Sequence[Path], *, recursive: bool) -> Iterator[set[FileChange]]:
    return watch(
        *folders,
        watch_filter=_Source(),
        debounce=DEBOUNCE_MS,
        rust_timeout=CHECK_MS // 2,
        yield_on_timeout=True,
        recursive=recursive,
    )


class _Source(DefaultFilter):
    """What a project is written in; not what it writes itself, such as a database, nor caches."""

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change of that file counts."""
        written = path.endswith(SUFFIXES) or Path(path).name == ".env"
        return written and super().__call__(change, path)


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
