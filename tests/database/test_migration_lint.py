"""The lint of migrations finds what blocks a live database or breaks the running release."""

from pathlib import Path

import pytest

from migration_files import only
from restwell.database import Migrations
from restwell.database._migration_lint import lint
from restwell.database._migrations import KIT

FILE = '''"""A step ({phase}-deploy)."""
from alembic import op
from sqlalchemy import Column, Integer, Text
revision = "{revision}"
down_revision = {before}
def upgrade() -> None:
    {step}
'''
TABLE = 'op.create_table("notes", Column("id", Integer, primary_key=True), Column("old", Text))'
DROP = 'op.drop_index("notes_by_new", if_exists=True, postgresql_concurrently=True)'
CREATE = 'op.create_index("notes_by_new", "notes", ["new"], postgresql_concurrently=True)'


def steps(folder: Path, *texts: tuple[str, str]) -> Migrations:
    files, before = {}, "None"
    for number, (phase, text) in enumerate(texts, start=1):
        revision = f"{number:04}"
        files[f"{revision}_step"] = FILE.format(phase=phase, revision=revision, before=before, step=text)
        before = f'"{revision}"'
    return only(folder, **files)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ('op.create_index("i", "notes", ["id"])', "require-concurrent-index-creation"),
        ('op.add_column("notes", Column("n", Integer, nullable=False))', "adding-required-field"),
        ('op.drop_column("notes", "old")', "ban-drop-column"),
        ('op.alter_column("notes", "old", new_column_name="older")', "renaming-column"),
        ('op.alter_column("notes", "id", type_=Text())', "changing-column-type"),
        ('op.create_check_constraint("c", "notes", "id > 0")', "constraint-missing-not-valid"),
    ],
)
def test_lint_finds_a_statement_that_would_block_or_break_a_live_database(
    tmp_path: Path, statement: str, rule: str
) -> None:
    findings = lint(steps(tmp_path, ("pre", TABLE), ("pre", statement)))
    assert rule in {finding.rule for finding in findings if finding.revision == "0002_step"}


def test_lint_accepts_safe_migrations(tmp_path: Path) -> None:
    index = f"with op.get_context().autocommit_block():\n        {DROP}\n        {CREATE}"
    column = 'op.add_column("notes", Column("new", Text))'
    assert (
        lint(
            steps(tmp_path, ("pre", TABLE), ("pre", column), ("pre", index), ("post", 'op.drop_column("notes", "old")'))
        )
        == []
    )


def test_the_migrations_of_the_kit_pass_the_lint() -> None:
    """They are not part of ``restwell migrate --check``, which is for those that an application can change."""
    assert lint(Migrations(KIT, packages={})) == []
    assert lint(Migrations()) == []
