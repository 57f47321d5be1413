"""What of the migrations would block a live PostgreSQL, or break the code that still runs: squawk reads their SQL.

squawk is a program of its own (``pip install squawk-cli``), needed only where migrations are written.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from restwell.database.migrations import Migrations
from restwell.errors import ConfigurationError

_OF_STYLE: Final = ("prefer-bigint-over-int", "prefer-identity", "prefer-text-field", "prefer-robust-stmts")
_DONE_BY_US: Final = ("require-lock-timeout", "require-statement-timeout")
_AFTER_DEPLOY: Final = ("ban-drop-column", "ban-drop-table")
"""What a post-deploy migration is for: by then nobody uses it."""


class Finding(Struct, frozen=True):
    """A statement that should not run on a live database as it is."""

    revision: str
    statement: str
    rule: str
    advice: str


def lint(migrations: Migrations) -> list[Finding]:
    """The findings of every migration. Raises ConfigurationError where squawk is not installed.

    A statement that is right all the same says so in a comment before it: ``-- squawk-ignore rule-name``.
    """
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    if program is None:
        raise ConfigurationError(["migrate --check needs squawk: pip install squawk-cli"])
    findings: list[Finding] = []
    for revision, phase in migrations.phases.items():
        excluded = [*_OF_STYLE, *_DONE_BY_US, *(_AFTER_DEPLOY if phase == "post" else ())]
        statements = migrations.statements("postgresql", [revision])
        for segment, in_transaction in _segments(statements):
            how = ["--assume-in-transaction"] if in_transaction else ["--no-assume-in-transaction"]
            findings += _ask(program, revision, segment, [*how, *(f"--exclude={rule}" for rule in excluded)])
    return findings


def _segments(statements: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """The statements, divided where a transaction ends or begins."""
    segment: list[str] = []
    in_transaction = True
    for statement in statements:
        if statement in {"COMMIT", "BEGIN"}:
            yield segment, in_transaction
            segment, in_transaction = [], statement == "BEGIN"
        else:
            segment.append(statement)
    yield segment, in_transaction


def _ask(program: str, revision: str, statements: Sequence[str], options: Sequence[str]) -> Iterator[Finding]:
    script = ";\n".join((*statements, ""))
    command = [program, "--reporter=json", "--pg-version=15", "--stdin-filepath=-", *options]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)  # noqa: S603  # squawk alone
    if done.returncode not in {0, 1}:
        raise ConfigurationError([f"squawk failed: {done.stderr.strip()}"])
    lines = script.splitlines()
    found: list[dict[str, Any]] = msgspec.json.decode(done.stdout or "[]")
    for one in found:
        advice = " ".join(filter(None, (one["message"], one.get("help"))))
        yield Finding(revision, lines[one["line"]], one["rule_name"], advice)
