"""The help of the commands: what it says, and that it is quick."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final, get_args

import pytest
from rich.text import Text
from typer.main import get_command
from typer.testing import CliRunner

from restwell._cli import COMMANDS, new_cli
from restwell._cli.jobs import StateName
from restwell.jobs import JobState

pytestmark = pytest.mark.integration

SLOW: Final = {"granian", "prometheus_client", "pydantic", "restwell._application", "restwell.database", "structlog"}
"""The imports of the kit take most of a second of processor time."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def helps(command: Any) -> Iterator[str]:
    """The texts of a command, its options and its subcommands."""
    yield command.help or ""
    yield from (getattr(each, "help", None) or "" for each in command.params)
    for below in getattr(command, "commands", {}).values():
        yield from helps(below)


def test_the_list_of_commands_is_that_of_their_modules() -> None:
    """Fails if a command is described otherwise, and COMMANDS does not follow."""
    shown = CliRunner().invoke(new_cli(()), ["--help"])
    assert (shown.exit_code, shown.output) == (0, CliRunner().invoke(new_cli(), ["--help"]).output)
    assert "Commands" in shown.output


def test_no_module_of_a_command_imports_the_kit_before_the_command_runs() -> None:
    """Fails if one imports the settings, the server or the database at its top: its help then takes a second."""
    code = (
        "import sys, typer; from restwell._cli import new_cli; typer.main.get_command(new_cli()); print(*sys.modules)"
    )
    imported = set(run("-c", code).stdout.split())
    assert {f"restwell._cli.{name}" for name in COMMANDS} <= imported
    assert imported & SLOW == set()


def test_the_help_of_a_command_imports_no_other_command() -> None:
    code = (
        "import atexit, sys; from restwell.__main__ import main; atexit.register(lambda: print(*sys.modules)); main()"
    )
    shown = run("-c", code, "jobs", "list", "--help").stdout
    assert "List jobs, and the number of jobs by queue and state." in shown
    assert set(shown.split()) & {f"restwell._cli.{name}" for name in COMMANDS} == {"restwell._cli.jobs"}


def test_the_help_shows_texts_with_brackets() -> None:
    """Fails if a text has brackets: Rich removes them with what they contain."""
    texts = list(helps(get_command(new_cli())))
    assert len(texts) > 100
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


def test_the_states_of_the_options_are_those_of_jobs() -> None:
    assert get_args(StateName) == tuple(JobState)
