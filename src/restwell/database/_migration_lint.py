"""Lints the SQL of migrations with squawk, for statements that block a live PostgreSQL or break the running release.

squawk is a separate program (``pip install squawk-cli``), needed only in development and CI.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from restwell.database._migrations import Migrations
from restwell.errors import ConfigurationError

_STYLE_RULES: Final = ("prefer-bigint-over-int", "prefer-identity", "prefer-text-field", "prefer-robust-stmts")
_SET_BY_MIGRATE: Final = ("require-lock-timeout", "require-statement-timeout")
_POST_DEPLOY_RULES: Final = ("ban-drop-column", "ban-drop-constraint", "ban-drop-table")
"""Allowed in a post-deploy migration: no running release uses the column, the constraint or the table."""


class Finding(Struct, frozen=True):
    """A statement that is unsafe on a live database."""

    revision: str
    statement: str
    rule: str
    advice: str


def lint(migrations: Migrations) -> list[Finding]:
    """The findings of every migration of the application and its features, except of those that Alembic ran.

    Raises ConfigurationError if squawk is not installed. A comment before a statement suppresses a rule:
    ``-- squawk-ignore rule-name``.
    """
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    if program is None:
        raise ConfigurationError(["migrate --check needs squawk: pip install squawk-cli"])
    findings: list[Finding] = []
    for file in migrations.files:
        if file in migrations.adopted_files:
            continue
        excluded = [*_STYLE_RULES, *_SET_BY_MIGRATE, *(_POST_DEPLOY_RULES if file.phase == "post" else ())]
        statements = migrations.statements("postgresql", [file])
        for segment, in_transaction in _segments(statements):
            mode = ["--assume-in-transaction"] if in_transaction else ["--no-assume-in-transaction"]
            findings += _run_squawk(program, str(file), segment, [*mode, *(f"--exclude={rule}" for rule in excluded)])
    return findings


def _segments(statements: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """The statements, split at COMMIT and BEGIN, each part with whether it runs in a transaction."""
    segment: list[str] = []
    in_transaction = True
    for statement in statements:
        if statement in {"COMMIT", "BEGIN"}:
            yield segment, in_transaction
            segment, in_transaction = [], statement == "BEGIN"
        else:
            segment.append(statement)
    yield segment, in_transaction


def _run_squawk(program: str, revision: str, statements: Sequence[str], options: Sequence[str]) -> Iterator[Finding]:
    script = ";\n".join((*statements, ""))
    command = [program, "--reporter=json", "--pg-version=15", "--stdin-filepath=-", *options]
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode not in {0, 1}:
        raise ConfigurationError([f"squawk failed: {result.stderr.strip()}"])
    lines = script.splitlines()
    violations: list[dict[str, Any]] = msgspec.json.decode(result.stdout or "[]")
    for violation in violations:
        advice = " ".join(filter(None, (violation["message"], violation.get("help"))))
        yield Finding(revision, lines[violation["line"]], violation["rule_name"], advice)
