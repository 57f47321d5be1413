"""Tables print the texts of an application as they are."""

import pytest
from rich.table import Table

from restwell._cli.tables import print_table

TEXTS = ("[red] is no colour", "a[/]", "order:id:5", r"\[x]")


def test_a_table_prints_brackets_and_colons(capsys: pytest.CaptureFixture[str]) -> None:
    """Fails if Rich interprets them: it removes ``[red]``, raises an error at ``[/]``, and replaces ``:id:``."""
    table = Table(*TEXTS, box=None)
    table.add_row(*TEXTS)
    print_table(table)
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in capsys.readouterr().out.splitlines()
    ]
    assert rows == [list(TEXTS), list(TEXTS)]


def test_a_table_prints_no_command_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Fails if an error that a client causes clears the terminal of an operator who lists it, or sets its title."""
    table = Table("name\x1b[2J", box=None)
    table.add_row("\x1b]0;title\x07\x9b2J")
    print_table(table)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        r"name\x1b[2J",
        r"\x1b]0;title\x07\x9b2J",
    ]
