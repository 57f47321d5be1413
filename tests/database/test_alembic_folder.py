"""``restwell migrate --adopt``: a folder that Alembic made and ran becomes migrations of the application."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text

from restwell.database import open_database, query
from restwell.database._alembic_folder import convert
from restwell.database._migration_files import read_migrations
from restwell.errors import ConfigurationError
from servers import restwell

FIRST, SECOND = "1975ea83b712", "ae1027a6acf2"
ENV: Final = """
import asyncio

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

url = context.config.get_main_option("sqlalchemy.url")


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async():
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if url.startswith("sqlite:"):
    with create_engine(url).begin() as connection:
        run(connection)
else:
    asyncio.run(run_async())
"""
TEMPLATE: Final = '''"""{title}

Revision ID: {revision}
Revises: {down}
Create Date: 2025-06-01 10:00:00

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


revision: str = {revision!r}
down_revision: Union[str, Sequence[str], None] = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {statement}


def downgrade() -> None:
    pass
'''
CREATE: Final = """op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )"""
ADD: Final = 'op.add_column("account", sa.Column("last_seen", sa.DateTime(), nullable=True))'
APP: Final = """
from pathlib import Path
from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table
from restwell import Restwell
metadata = MetaData()
account = Table(
    "account", metadata, Column("id", Integer, primary_key=True), Column("name", String(50), nullable=False),
    Column("last_seen", DateTime)
)
app = Restwell(name="crm").app([], migrations=Path("migrations"), metadata=metadata)
"""
accounts: Final = query("alembic.accounts", text("SELECT count(*) + count(last_seen) FROM account"), into=int)


def script(revision: str, down: object, title: str = "Create account", statement: str = "pass") -> str:
    return TEMPLATE.format(revision=revision, down=down, title=title, statement=statement)


def folder_of_alembic(folder: Path, **texts: str) -> Path:
    """A folder as ``alembic init`` and ``alembic revision`` make it."""
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "script.py.mako").write_text("")
    for name, written in texts.items():
        (folder / "versions" / f"{name}.py").write_text(written)
    return folder


def two_revisions(folder: Path) -> Path:
    return folder_of_alembic(
        folder,
        **{
            f"{FIRST}_create_account": script(FIRST, None, "Create account.", CREATE),
            f"{SECOND}_add_last_seen": script(SECOND, FIRST, 'the "last" time', ADD),
        },
    )


def alembic(folder: Path, url: str, revision: str) -> None:
    driver = url.replace("postgresql:", "postgresql+asyncpg:")
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = alembic\nsqlalchemy.url = {driver}\n")
    command = [sys.executable, "-m", "alembic", "upgrade", revision]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("reached", [FIRST, "head"])
async def test_a_folder_of_alembic_is_adopted_and_its_databases_keep_their_rows(
    reached: str, empty_url: str, tmp_path: Path
) -> None:
    """Fails if a migration that Alembic ran runs again, or if one that it did not run is left out."""
    two_revisions(tmp_path / "alembic")
    alembic(tmp_path, empty_url, reached)
    async with open_database(empty_url) as database:
        await database.run(query("alembic.add", text("INSERT INTO account (id, name) VALUES (1, 'Ada')")))
    (tmp_path / "crm.py").write_text(APP)
    environment = {"RESTWELL_APP": "crm:app", "DATABASE_URL": empty_url}
    adopted = restwell("migrate", "--adopt", "alembic", cwd=tmp_path, **environment)
    assert adopted.stdout == (
        "migrations/versions/0001_create_account.py\nmigrations/versions/0002_the_last_time.py\n"
        "restwell migrate records on each database which of them Alembic has run\n"
    ), adopted.stderr
    planned = restwell("migrate", "--sql", cwd=tmp_path, **environment).stdout
    assert ("CREATE TABLE account " in planned, "ADD COLUMN last_seen" in planned) == (False, reached == FIRST)
    migrated = restwell("migrate", cwd=tmp_path, **environment)
    assert "0002_the_last_time" in migrated.stdout, migrated.stderr
    assert restwell("migrate", cwd=tmp_path, **environment).stdout == "nothing to migrate\n"
    assert restwell("migrate", "--check", cwd=tmp_path, **environment).stdout == "2 migrations, 0 findings\n"
    async with open_database(empty_url) as database:
        assert await database.one(accounts) == 1
    again = restwell("migrate", "--adopt", "alembic", cwd=tmp_path, **environment)
    assert "has migrations already: name a new folder" in again.stderr
    new = environment | {"DATABASE_URL": f"sqlite:///{tmp_path}/new.db"}
    assert "0002_the_last_time" in restwell("migrate", cwd=tmp_path, **new).stdout


@pytest.mark.integration
async def test_a_database_at_an_unknown_revision_of_alembic_is_not_migrated(empty_url: str, tmp_path: Path) -> None:
    """Fails if it is treated as a new one, whose tables are created."""
    convert(two_revisions(tmp_path / "alembic"), tmp_path / "migrations")
    (tmp_path / "crm.py").write_text(APP)
    async with open_database(empty_url) as database, database.transaction() as tx:
        await tx.run_script("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        await tx.run_script("INSERT INTO alembic_version VALUES ('0ther')")
    refused = restwell("migrate", cwd=tmp_path, RESTWELL_APP="crm:app", DATABASE_URL=empty_url)
    reason = "the database is at revision 0ther of Alembic, which was not adopted: first run alembic upgrade"
    assert (refused.returncode, refused.stderr) == (2, f"restwell: {reason} {SECOND}\n")


def test_an_adopted_file_has_the_rest_of_its_text(tmp_path: Path) -> None:
    convert(two_revisions(tmp_path / "alembic"), tmp_path / "migrations")
    written = (tmp_path / "migrations/versions/0001_create_account.py").read_text()
    head, _, rest = written.partition("branch_labels")
    assert head.startswith('"""Create account (pre-deploy)."""\nfrom typing import Sequence, Union\n')
    assert head.endswith(f'revision = "0001"\ndown_revision = None\nalembic_revision = "{FIRST}"\n')
    assert rest == script(FIRST, None, "", CREATE).partition("branch_labels")[2]


def test_a_history_with_branches_is_one_line_whose_databases_are_at_its_head(tmp_path: Path) -> None:
    """Fails if a database on one branch is recorded as if it were on both."""
    source = folder_of_alembic(
        tmp_path / "alembic",
        a=script("a1", None),
        b=script("b2", "a1"),
        c=script("c3", "a1"),
        d=script("d4", ("b2", "c3"), "\u0434"),
    )
    convert(source, tmp_path / "migrations")
    files = read_migrations("application", tmp_path / "migrations/versions")
    assert [file.alembic_revision for file in files] == ["", "", "", "d4"]
    assert files[-1].revision == "0004_migration"


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ({}, "is no folder of Alembic with revisions: name the one that has versions"),
        ({"a": script("a1", None), "b": script("b2", None)}, "has 2 heads, .*: run alembic merge heads"),
        ({"a": "revision ="}, "cannot be read as a folder of Alembic: SyntaxError"),
        ({"a": "revision, down_revision = 'a1', None"}, "a.py: assign revision and down_revision in a statement each"),
    ],
)
def test_a_folder_that_cannot_be_adopted_is_a_sentence(texts: dict[str, str], fault: str, tmp_path: Path) -> None:
    """Fails if some files are written before the fault is found."""
    source = folder_of_alembic(tmp_path / "alembic", **texts)
    with pytest.raises(ConfigurationError, match=fault):
        convert(source, tmp_path / "migrations")
    assert not (tmp_path / "migrations").exists()
