"""The code of docs/testing.md."""

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

import planted_bugs
from accounts_app import create_app
from contract_apps import migrate, variables
from documents import blocks
from restwell.settings import Settings
from restwell.testing import access_table
from servers import ROOT

CODE: Final = {block.file: block.code for block in blocks("docs/testing.md") if block.language == "python"}
CONTRACT: Final = "test_contract.py"
CONFIGURATION: Final = """
[tool.restwell]
app = "notes:accounts"

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
pythonpath = "."
"""


@pytest.mark.slow
def test_the_tests_of_the_page_pass(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Fails if the page uses a name that does not exist, or a route that answers otherwise."""
    server = request.getfixturevalue("postgres_server") if backend == "postgresql" else ""
    shutil.copy(ROOT / "tests/support/accounts_app.py", tmp_path / "notes.py")
    for file, code in CODE.items():
        if file != CONTRACT:
            (tmp_path / file).write_text(code)
    (tmp_path / "access.txt").write_text(access_table(create_app(Settings())))
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = os.environ | {"TEST_POSTGRES_URL": server}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    expected = "6 passed" if server else "5 passed, 1 skipped"
    assert (done.returncode, expected in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "crash"])
def test_the_contract_test_of_the_page_finds_a_bug(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the page calls ``contract_tests`` with arguments that it does not have."""
    app = planted_bugs.create_app(Settings.load(variables(tmp_path)), bug)
    asyncio.run(migrate(app))
    callers = SimpleNamespace(admin=planted_bugs.sign_in, member=planted_bugs.sign_in)
    monkeypatch.setitem(sys.modules, "notes", callers)
    namespace: dict[str, Any] = {}
    exec(CODE[CONTRACT], namespace)  # noqa: S102  # the code of the page
    with pytest.raises(AssertionError, match="Server error") if bug else nullcontext():
        namespace["test_every_response_fits_the_document"](app)
