"""``restwell migrate --new`` and ``--check``, from an empty folder to a second migration."""

from pathlib import Path

import pytest

from servers import restwell

pytestmark = pytest.mark.integration

NOTES = """
from pathlib import Path
from sqlalchemy import Column, Integer, MetaData, Table, Text
from restwell import Restwell
from restwell.database import Timestamp
metadata = MetaData()
notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", Text, nullable=False){more})
app = Restwell(name="notes").app([], migrations=Path("migrations"), metadata=metadata)
"""
CREATED = """\"\"\"Notes (pre-deploy).\"\"\"

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "notes",
        Column("id", Integer(), primary_key=True),
        Column("text", Text(), nullable=False),
    )
"""
ADDED = """\"\"\"The age of notes (pre-deploy).\"\"\"

from alembic import op
from restwell.database import Timestamp
from sqlalchemy import Column

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("notes", Column("at", Timestamp))
"""


def test_migrations_are_written_from_the_models_and_drift_is_found(tmp_path: Path) -> None:
    """Fails if the first migration needs a folder, if drift exits with 0, or if the code is not what ruff writes."""
    env = {"RESTWELL_APP": "drafts:app", "DATABASE_URL": f"sqlite:///{tmp_path}/notes.db"}
    (tmp_path / "drafts.py").write_text(NOTES.format(more=""))
    refused = restwell("migrate", cwd=tmp_path, **env)
    assert (refused.returncode, "restwell migrate --new" in refused.stderr) == (2, True)
    written = restwell("migrate", "--new", "notes", cwd=tmp_path, **env)
    assert written.stdout == "the table notes is in the models only\nmigrations/versions/0001_notes.py\n"
    assert (tmp_path / "migrations/versions/0001_notes.py").read_text() == CREATED
    assert restwell("migrate", "--check", cwd=tmp_path, **env).stdout == "1 migrations, 0 findings\n"
    assert "0001_notes" in restwell("migrate", cwd=tmp_path, **env).stdout
    (tmp_path / "drafts.py").write_text(NOTES.format(more=', Column("at", Timestamp)'))
    drift = restwell("migrate", "--check", cwd=tmp_path, **env)
    assert drift.stdout == (
        "the column notes.at is in the models only: restwell migrate --new writes a migration, or correct the models\n"
        "1 migrations, 1 findings\n"
    )
    assert drift.returncode == 1
    restwell("migrate", "--new", "The age of notes.", cwd=tmp_path, **env)
    assert (tmp_path / "migrations/versions/0002_the_age_of_notes.py").read_text() == ADDED
    again = restwell("migrate", "--new", "again", cwd=tmp_path, **env)
    assert again.stdout == "the schema has what the models declare; no migration is written\n"


def test_an_application_without_models_or_a_folder_is_told_what_to_name(tmp_path: Path) -> None:
    """Fails if ``--check`` reports no findings as if it had compared models and schema."""
    (tmp_path / "empty.py").write_text("from restwell import Restwell\napp = Restwell().app([])\n")
    env = {"RESTWELL_APP": "empty:app", "DATABASE_URL": f"sqlite:///{tmp_path}/notes.db"}
    assert "kit.app(migrations=...)" in restwell("migrate", "--new", "x", cwd=tmp_path, **env).stderr
    code = NOTES.format(more="").replace(", metadata=metadata)", ")")
    (tmp_path / "empty.py").write_text(code)
    assert "kit.app(..., metadata=...)" in restwell("migrate", "--new", "x", cwd=tmp_path, **env).stderr
    (tmp_path / "migrations/versions").mkdir(parents=True)
    (tmp_path / "migrations/versions/0001_notes.py").write_text(CREATED)
    checked = restwell("migrate", "--check", cwd=tmp_path, **env)
    not_compared = "models and schema were not compared: name the tables with kit.app(..., metadata=...)\n"
    assert (checked.returncode, checked.stdout) == (0, f"{not_compared}1 migrations, 0 findings\n")
