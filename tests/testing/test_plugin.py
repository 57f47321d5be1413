"""The fixtures of pytest for an application; tests/testing/test_testing_page.py has those that need accounts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from servers import SUPPORT

pytestmark = pytest.mark.slow

CONFTEST: Final = 'pytest_plugins = ["restwell.testing.plugin"]\n'
TESTS: Final = """
import pytest

from restwell.errors import ConfigurationError

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("number", [1, 2])
async def test_each_test_has_a_new_database(client, number):
    assert (await client.get("/v1/notes")).json() == {"items": []}
    assert (await client.post("/v1/notes", {"text": "one"})).is_success


async def test_a_role_needs_accounts(sign_in_as):
    with pytest.raises(ConfigurationError, match="this application has no accounts: add restwell"):
        await sign_in_as("owner")
"""


def run(folder: Path, **environment: str) -> str:
    """The output of pytest without a mode of pytest-asyncio."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_notes.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:xdist"]
    given = {**os.environ, "PYTHONPATH": str(SUPPORT), "RESTWELL_APP": "", "TEST_POSTGRES_URL": "", **environment}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False).stdout


def test_the_fixtures_need_no_mode_of_pytest_asyncio(tmp_path: Path) -> None:
    """Fails if the second test gets the database of the first, or if a fixture is async for the mode auto only."""
    printed = run(tmp_path, RESTWELL_APP="tiny.app:project")
    assert "3 passed" in printed, printed


def test_without_an_application_each_test_says_how_to_name_it(tmp_path: Path) -> None:
    printed = run(tmp_path)
    assert printed.count("set RESTWELL_APP=module:name") >= 3, printed
