"""``restwell --help`` imports no command, and shows what the commands say of themselves."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from restwell._cli import cli
from restwell._overview import overview

pytestmark = pytest.mark.integration


def test_the_overview_is_the_help_of_the_commands() -> None:
    """Fails if a command is added, renamed or described otherwise, and SUMMARIES does not follow."""
    shown = CliRunner().invoke(overview(), ["--help"])
    assert (shown.exit_code, shown.output) == (0, CliRunner().invoke(cli, ["--help"]).output)
    assert "Commands" in shown.output


def test_the_help_of_restwell_imports_no_command() -> None:
    """Fails if ``__main__`` imports the commands first: the help then takes a second instead of a fifth of one."""
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "restwell", "--help"], capture_output=True, text=True, check=True
    )
    assert "Run and operate a restwell API." in listed.stdout
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "restwell._overview" in imported
    assert not {name for name in imported if name.startswith(("restwell._cli", "sqlalchemy", "granian", "pydantic"))}
