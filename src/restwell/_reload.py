"""Reloads the development server when a source file changes. The first process is forked, so that it starts faster."""

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
"""Watched if they exist, in addition to the package of the application and the files of the project folder."""
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
    """Run ``target`` in a child process, and restart it when a source file of the project changes.

    ``target`` is a module-level function without arguments; ``application`` is the module of the application. If the
    first child exits with ``exit_on``, this process exits with the same code. After any other exit of a child, the next
    change starts a new one.
    """
    changes = _changes(application)
    for number in (signal.SIGTERM, signal.SIGHUP):  # like Ctrl-C: stop the child before this process exits
        signal.signal(number, signal.default_int_handler)
    child, first, reported = _start("fork", target), True, False
    try:
        for changed in changes:
            if changed:
                log.warning("reloading", changed=sorted({path for _, path in changed}))
                _stop(child)
                child, first, reported = _start("spawn", target), False, False
            elif child.exitcode is not None and not reported:
                if first and child.exitcode == exit_on:
                    raise SystemExit(exit_on)
                log.warning("waiting_for_change", exit_code=child.exitcode)
                reported = True
    except KeyboardInterrupt:
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
        ):  # a second signal terminates the child immediately
            signal.signal(number, lambda *_: child.terminate())
    finally:
        _stop(child)


def _changes(application: str) -> Iterator[set[FileChange]]:
    """Yield the changed files, or an empty set after CHECK_MS. Raises KeyboardInterrupt."""
    project_folder = Path.cwd()
    folders = {folder for name in FOLDERS if (folder := project_folder / name).is_dir()}
    spec = find_spec(application.partition(".")[0])  # does not import the package
    if spec is not None:
        folders |= {Path(folder).resolve() for folder in spec.submodule_search_locations or ()}
    roots = {folder for folder in folders if not folders.intersection(folder.parents)}
    watched = [_watch([project_folder], recursive=False), *([_watch(sorted(roots), recursive=True)] if roots else [])]
    return (set().union(*changed) for changed in zip(*watched, strict=True))


def _watch(folders: Sequence[Path], *, recursive: bool) -> Iterator[set[FileChange]]:
    return watch(
        *folders,
        watch_filter=_SourceFilter(),
        debounce=DEBOUNCE_MS,
        rust_timeout=CHECK_MS // 2,
        yield_on_timeout=True,
        recursive=recursive,
    )


class _SourceFilter(DefaultFilter):
    """Accepts source files; ignores files that the application writes, such as databases, and caches."""

    def __call__(self, change: Change, path: str) -> bool:
        is_source = path.endswith(SUFFIXES) or Path(path).name == ".env"
        return is_source and super().__call__(change, path)


def _start(method: str, target: Callable[[], None]) -> BaseProcess:
    context = multiprocessing.get_context(method)
    child: BaseProcess = context.Process(target=target)  # type: ignore[attr-defined]  # missing from the stubs
    child.start()
    return child


def _stop(child: BaseProcess) -> None:
    child.terminate()
    child.join(STOP_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
