"""``make scoreboard`` runs the fault tests in full size and writes their figures to docs/scoreboard.md.

Faults that were not run keep their row, with the date of their measurement.

``@pytest.mark.scoreboard("D1", "the fault", "the pass mark")`` puts a test on the scoreboard.
The ``score`` fixture records its figures and selects its size: small under ``make test``.
"""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

VARIABLE: Final = "SCOREBOARD"
"""The environment variable with the file to write; it also selects the full size."""

HEAD: Final = ("#", "fault or load", "pass mark", "figure", "result", "backend", "measured")

T = TypeVar("T")


class Score:
    """The figures of one test."""

    def __init__(self) -> None:
        self.figures: list[str] = []

    def note(self, figure: str) -> None:
        self.figures.append(figure)

    @staticmethod
    def size(small: T, full: T) -> T:
        """``small`` under ``make test``, ``full`` under ``make scoreboard``."""
        return full if VARIABLE in os.environ else small


class ScoreTable:
    """Collects the figures of the tests and writes the table at the end."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, ...]] = {}
        self._scores: dict[str, Score] = {}

    @pytest.fixture
    def score(self, request: pytest.FixtureRequest) -> Score:
        """Records the figures of the test."""
        score = self._scores[request.node.nodeid] = Score()
        return score

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: "pytest.CallInfo[None]") -> Any:
        outcome: Any = yield
        marker = item.get_closest_marker("scoreboard")
        score = self._scores.get(item.nodeid)
        if marker is None or score is None or call.when != "call":
            return
        result = "pass" if outcome.get_result().passed else "**FAIL**"
        number, fault, mark = marker.args
        backend = marker.kwargs.get("backend") or ("SQLite" if "sqlite" in item.name.lower() else "PostgreSQL")
        if "redis" in item.name or "redis" in getattr(item, "fixturenames", ()):
            backend += ", Redis"
        if "rabbit" in item.name:
            backend += ", RabbitMQ"
        figures = "; ".join(score.figures) or "none"
        self._rows[item.nodeid] = (number, fault, mark, figures, result, backend, f"{datetime.now(UTC):%Y-%m-%d}")

    def pytest_sessionfinish(self) -> None:
        if self._rows and VARIABLE in os.environ:
            path = Path(os.environ[VARIABLE])
            done = {_fault_of(row) for row in self._rows.values()}
            earlier = [row for row in _read(path) if _fault_of(row) not in done]
            path.write_text(_text([*earlier, *self._rows.values()]))


def _text(rows: list[tuple[str, ...]]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    rows = [HEAD, ("---",) * len(HEAD), *sorted(rows, key=_in_order)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        "# Scoreboard\n\n"
        f"Written by `make scoreboard` ({machine}). Faults are injected into real processes;\n"
        "the attacks of A8 run against the production application in the process of the test.\n"
        "`make test` runs the same tests in a smaller size. The docstring of each test names what breaks it.\n\n"
        f"{table}\n"
    )


def _read(path: Path) -> list[tuple[str, ...]]:
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [tuple(line.strip("| ").split(" | ")) for line in lines if line.startswith("| ")]
    return [row for row in rows if len(row) == len(HEAD)][2:]


def _fault_of(row: tuple[str, ...]) -> tuple[str, ...]:
    number, fault, _, _, _, backend, _ = row
    return number, fault, backend


def _in_order(row: tuple[str, ...]) -> tuple[str, int]:
    return row[0][0], int(row[0][1:])
