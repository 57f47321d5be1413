"""The reload of the development server."""

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest

from processes import READY_SECONDS, descendants_of
from servers import SUPPORT, Served, serve, wait_until

pytestmark = pytest.mark.integration

SOURCE = SUPPORT / "tiny" / "app.py"
ERRORS = {
    'GREETING = "': "unterminated string",
    "from restwell import nothing_there": "cannot import name 'nothing_there'",
}
"""Errors in the code, and the message that each logs."""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The file to change: a copy of the tiny application in a folder that is not watched by name."""
    shutil.copytree(SUPPORT / "tiny", tmp_path / "lib" / "tiny")
    return tmp_path / "lib" / "tiny" / "app.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The working directory of the command, next to the code."""
    folder = tmp_path / "project"
    for name in ("templates", "var", ".venv", "migrations/__pycache__"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture
def working_copy(code: Path, project: Path, tmp_path: Path) -> Iterator[Served]:
    with dev(tmp_path, project, code) as served:
        yield served


def dev(folder: Path, project: Path, code: Path) -> AbstractContextManager[Served]:
    environment = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(code.parents[1]), "DATABASE_URL": ""}
    return serve(folder, sys.executable, "-m", "restwell", "dev", cwd=project, **environment)


def has_logged(served: Served, text: str, times: int = 1) -> bool:
    return served.output.count(text) >= times


def serves_greeting(served: Served, greeting: str) -> bool:
    try:
        return httpx.get(f"{served.url}/v1/notes/greeting", timeout=2).text == greeting
    except httpx.TransportError:
        return False


def change(code: Path, old: str, new: str) -> None:
    """Change a file like an editor: write a draft, then rename it."""
    draft = code.with_suffix(".draft")
    draft.write_text(code.read_text().replace(old, new))
    draft.replace(code)


def test_changed_code_is_served_and_an_error_can_be_corrected(working_copy: Served, code: Path) -> None:
    assert serves_greeting(working_copy, "hello")
    change(code, '"hello"', '"good morning"')
    wait_until(lambda: serves_greeting(working_copy, "good morning"), working_copy.process, working_copy)
    for number, (error, logged) in enumerate(ERRORS.items()):
        change(code, "import gather\n", f"import gather\n{error}\n")
        wait_until(partial(has_logged, working_copy, logged), working_copy.process, working_copy)
        greeting = f"hello {number}"
        code.write_text(SOURCE.read_text().replace('"hello"', f'"{greeting}"'))
        wait_until(partial(serves_greeting, working_copy, greeting), working_copy.process, working_copy)


def test_an_error_at_the_first_start_is_reported_and_can_be_corrected(
    code: Path, project: Path, tmp_path: Path
) -> None:
    """Regression: an ImportError stopped the command."""
    error = "from restwell import nothing_there"
    change(code, "import gather\n", f"import gather\n{error}\n")

    def fix() -> str:
        deadline = time.monotonic() + READY_SECONDS
        while "waiting_for_change" not in (logged := (tmp_path / "server.log").read_text()):
            assert time.monotonic() < deadline, logged
            time.sleep(0.1)
        change(code, f"{error}\n", "")
        return logged

    with ThreadPoolExecutor(1) as executor:
        (tmp_path / "server.log").touch()
        fixed = executor.submit(fix)
        with dev(tmp_path, project, code) as served:
            assert serves_greeting(served, "hello")
        assert ERRORS[error] in fixed.result()
        assert f"{code.name}, line" in fixed.result()


def test_source_files_are_watched_and_written_files_are_not(working_copy: Served, project: Path) -> None:
    """Regression: only Python files in ``src`` and ``migrations`` were watched."""
    written = ["var/x.py", ".venv/x.py", "migrations/__pycache__/x.py", "notes.db", "migrations/x.log"]
    for count, name in enumerate([".env", "pyproject.toml", "templates/mail.txt", "migrations/x.sql", "more.py"], 1):
        for ignored in written:
            (project / ignored).touch()
        (project / name).write_text("")
        wait_until(partial(has_logged, working_copy, "reloading", count), working_copy.process, working_copy)
    logged = "".join(line for line in working_copy.output.splitlines() if "reloading" in line)
    assert not [name for name in written if name in logged]


def test_the_development_server_prints_the_urls_of_its_api_versions(working_copy: Served, code: Path) -> None:
    """Regression: the server printed ``/v1`` for any versions."""
    assert f"  tiny    {working_copy.url}/v1\n" in working_copy.output
    change(code, '[Version("/v1", [feature])]', '[Version("/a", [feature]), Version("/b", [])]')
    wait_until(lambda: f"{working_copy.url}/b\n" in working_copy.output, working_copy.process, working_copy)
    assert f"  tiny    {working_copy.url}/a\n" in working_copy.output
    assert working_copy.output.count("/v1\n") == 1


def test_the_development_server_exits_on_sigterm_without_child_processes(working_copy: Served) -> None:
    pid = working_copy.process.pid  # its children: the server, its worker, the worker of jobs and its fork server
    wait_until(lambda: len(descendants_of(pid)) == 4, working_copy.process, working_copy)
    started = descendants_of(pid)
    working_copy.process.terminate()
    assert working_copy.process.wait(20) == 0
    assert not [process for process in started if Path(f"/proc/{process}").exists()]
