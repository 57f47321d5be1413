"""The table of measured faults in ``docs/scoreboard.md``."""

from pathlib import Path

import pytest

from scoreboard import HEAD, VARIABLE, ScoreTable


def row(number: str, figure: str) -> tuple[str, ...]:
    return (number, f"the fault {number}", "none lost", figure, "pass", "SQLite", "2026-01-31")


def measure(**rows: tuple[str, ...]) -> None:
    table = ScoreTable()
    table._rows |= rows
    table.pytest_sessionfinish()


def test_both_suites_write_into_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when a run writes only its own rows: the second suite then removes those of the first."""
    path = tmp_path / "scoreboard.md"
    monkeypatch.setenv(VARIABLE, str(path))
    measure(kit=row("J1", "1 kill"), other=row("B2", "1 restart"))
    measure(shop=row("B1", "1 crash"))
    measure(kit=row("J1", "2 kills"))
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")][2:]
    expected = [row("B1", "1 crash"), row("B2", "1 restart"), row("J1", "2 kills")]
    assert lines == [f"| {' | '.join(one)} |" for one in expected]
    assert len(HEAD) == len(expected[0])
