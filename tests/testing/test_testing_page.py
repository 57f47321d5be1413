"""The code of docs/testing.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from accounts_app import create_app
from restwell.settings import Settings
from restwell.testing import access_table
from servers import ROOT


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """Breaks if the page uses a name that does not exist, or a route that answers otherwise."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
    shutil.copy(ROOT / "tests/support/accounts_app.py", tmp_path / "notes.py")
    (tmp_path / "test_page.py").write_text(code)
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
