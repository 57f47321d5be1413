"""The code of docs/testing.md."""

import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import planted_bugs
from accounts_app import create_app
from contract_apps import migrate, variables
from restwell.settings import Settings
from restwell.testing import access_table
from servers import ROOT


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """Breaks if the page uses a name that does not exist, or a route that answers otherwise."""
    code, _ = blocks()
    shutil.copy(ROOT / "tests/support/accounts_app.py", tmp_path / "notes.py")
    slow = '"RATE_LIMIT_SCALE": "0"'
    assert slow in code
    (tmp_path / "test_page.py").write_text(code.replace(slow, f'{slow}, "REQUEST_TIMEOUT_SECONDS": "60"'))
    (tmp_path / "access.txt").write_text(access_table(create_app(Settings())))
    options = (
        "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\npythonpath = ."
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{options}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "test_page.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "crash"])
def test_the_contract_test_of_the_page_finds_a_bug(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the page calls ``contract_tests`` with arguments that it does not have."""
    app = planted_bugs.create_app(Settings.load(variables(tmp_path)), bug)
    asyncio.run(migrate(app))
    callers = SimpleNamespace(admin=planted_bugs.sign_in, member=planted_bugs.sign_in)
    monkeypatch.setitem(sys.modules, "notes", callers)
    namespace: dict[str, Any] = {}
    exec(blocks()[1], namespace)  # noqa: S102  # the code of the page
    with pytest.raises(AssertionError, match="Server error") if bug else nullcontext():
        namespace["test_every_response_fits_the_document"](app)
