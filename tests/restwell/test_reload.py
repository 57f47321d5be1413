"""Serving while the code changes."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from servers import ROOT, Served, descendants_of, serve, wait_until


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A working copy of the tiny application; the file that the test changes."""
    shutil.copytree(ROOT / "tests" / "tiny", tmp_path / "src" / "tiny")
    return tmp_path / "src" / "tiny" / "app.py"


@pytest.fixture
def working_copy(code: Path, tmp_path: Path) -> Iterator[Served]:
    environment = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(code.parents[1]), "DATABASE_URL": ""}
    with serve(tmp_path, sys.executable, "-m", "restwell", "dev", cwd=tmp_path, **environment) as served:
        yield served


def greets_with(served: Served, greeting: str) -> bool:
    try:
        return httpx.get(f"{served.url}/v1/notes/greeting", timeout=2).text == greeting
    except httpx.TransportError:
        return False


def change(code: Path, old: str, new: str) -> None:
    """As an editor does: written aside, then moved into place."""
    draft = code.with_suffix(".draft")
    draft.write_text(code.read_text().replace(old, new))
    draft.replace(code)


def test_a_change_is_served_and_a_slip_can_be_mended(working_copy: Served, code: Path) -> None:
    assert greets_with(working_copy, "hello")
    change(code, '"hello"', '"good morning"')
    wait_until(lambda: greets_with(working_copy, "good morning"), working_copy.process, working_copy)
    change(code, '"good morning"', '"good morning')
    wait_until(lambda: "unterminated string" in working_copy.output, working_copy.process, working_copy)
    change(code, '"good morning', '"good evening"')
    wait_until(lambda: greets_with(working_copy, "good evening"), working_copy.process, working_copy)


def test_ends_when_told_and_leaves_no_process(working_copy: Served) -> None:
    started = descendants_of(working_copy.process.pid)
    assert len(started) == 2, "the child that is started anew at a change, and its worker"
    working_copy.process.terminate()
    assert working_copy.process.wait(20) == 0
    assert not [process for process in started if Path(f"/proc/{process}").exists()]
