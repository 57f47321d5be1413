"""Migrations that are written from the models bring the schema to the models, on both databases, and pass the lint."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Text, text

from model_changes import CHANGES, models
from restwell.database import ForeignKeyViolation, Migrations, open_database, query
from restwell.database._migration_files import MAY_BE_EMPTY
from restwell.database._migration_lint import lint
from restwell.database._migration_writer import Differences, compare
from restwell.errors import ConfigurationError

FILL = (
    "INSERT INTO authors (id, name) VALUES (1, 'world')",
    "INSERT INTO notes (id{}) VALUES (1{})",
)
count_notes = query("test.count_notes", text("SELECT count(*) FROM notes"), into=int)


@pytest.fixture(autouse=True)
def first_migrations() -> Iterable[None]:
    """As in ``restwell migrate --new``: the folder may be empty."""
    token = MAY_BE_EMPTY.set(True)
    yield
    MAY_BE_EMPTY.reset(token)


async def differences_of(folder: Path, url: str, metadata: MetaData) -> Differences:
    return await compare(Migrations(folder, metadata=metadata), url)


async def bring_to(folder: Path, url: str, metadata: MetaData) -> list[str]:
    """Write the migrations to these models and run them. Returns the phases of the new ones."""
    differences = await differences_of(folder, url, metadata)
    old = Migrations(folder).own_files
    paths = differences.write(folder, [file.number for file in old], "Change the notes.")
    migrations = Migrations(folder)
    new = migrations.own_files[len(old) :]
    assert [file.path for file in new] == paths
    async with open_database(url) as database:
        await migrations.upgrade(database)
    return [file.phase for file in new]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
async def test_a_written_migration_brings_the_schema_to_the_models(change: str, empty_url: str, tmp_path: Path) -> None:
    """Fails if a difference is not found, is written for one database only, or loses rows."""
    before, after, sentences, phases = CHANGES[change]
    await bring_to(tmp_path, empty_url, before)
    async with open_database(empty_url) as database, database.transaction() as tx:
        body = ("", "") if "body" not in before.tables["notes"].columns else (", body", ", 'x'")
        await tx.run_script(FILL[0])
        await tx.run_script(FILL[1].format(*body))
        if change in {"a column that may not be null", "everything of one table"} and "n" in before.tables["notes"].c:
            await tx.run_script("UPDATE notes SET n = 1")
    found = (await differences_of(tmp_path, empty_url, after)).sentences
    if sentences:
        wanted = sorted(sentences)
        assert [each[: len(start)] for each, start in zip_longest(sorted(found), wanted, fillvalue="")] == wanted
    assert await bring_to(tmp_path, empty_url, after) == phases
    for url in (empty_url, "sqlite:"):  # the migrations are those of both databases
        assert (await differences_of(tmp_path, url, after)).sentences == []
    assert empty_url.startswith("sqlite") or lint(Migrations(tmp_path)) == []
    async with open_database(empty_url) as database:
        assert await database.one(count_notes) == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_migrations_that_were_written_with_sqlite_are_those_of_postgresql(
    change: str, postgres_server: str, tmp_path: Path
) -> None:
    """Fails if a project that began on a file cannot move to a server."""
    before, after, _, phases = CHANGES[change]
    sqlite = f"sqlite:///{tmp_path}/notes.db"
    await bring_to(tmp_path, sqlite, before)
    assert await bring_to(tmp_path, sqlite, after) == phases
    assert lint(Migrations(tmp_path)) == []
    async with empty_schema(postgres_server):
        async with open_database(postgres_server) as database:
            await Migrations(tmp_path).upgrade(database)
        assert (await differences_of(tmp_path, postgres_server, after)).sentences == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (models(), models(Column("body", Text, nullable=False)), "notes.body .*existing rows have no value for it"),
        (models(), models(Column("n", Integer, server_default=text("random()"))), "notes.n .*differs for each row"),
        (models(Column("n", Integer)), models(Column("n", Text)), "type of notes.n is TEXT.*copy the data"),
        (models(), models(Column("n", Integer, primary_key=True)), r"\(id, n\) in the models.*create a new table"),
    ],
)
async def test_a_change_that_a_deploy_does_not_survive_is_refused_with_its_cure(
    before: MetaData, after: MetaData, words: str, tmp_path: Path
) -> None:
    await bring_to(tmp_path, f"sqlite:///{tmp_path}/notes.db", before)
    differences = await differences_of(tmp_path, "sqlite:", after)
    with pytest.raises(ConfigurationError, match=words):
        differences.write(tmp_path, ["0001"], "a change")
    assert len(list((tmp_path / "versions").glob("*.py"))) == 1
    with pytest.raises(ConfigurationError, match="says what the migration does"):
        (await differences_of(tmp_path, "sqlite:", models(more=True))).write(tmp_path, ["0001"], "?!")


async def test_a_table_that_sqlite_creates_again_keeps_the_rows_that_refer_to_it(tmp_path: Path) -> None:
    """Fails if foreign keys act during a migration: to drop the old table deletes the rows of the other one."""
    url = f"sqlite:///{tmp_path}/notes.db"
    body = Column("body", Text, nullable=False)
    await bring_to(tmp_path, url, models(body, more=True))
    async with open_database(url) as database, database.transaction() as tx:
        await tx.run_script("INSERT INTO notes (id, body) VALUES (1, 'x')")
        await tx.run_script("INSERT INTO tags VALUES (1, 'a', x'00', 0)")
    assert await bring_to(tmp_path, url, models(Column("body", Text), more=True)) == ["pre"]
    async with open_database(url) as database:
        assert await database.one(query("test.count_tags", text("SELECT count(*) FROM tags"), into=int)) == 1
        with pytest.raises(ForeignKeyViolation):  # foreign keys are enforced again
            async with database.transaction() as tx:
                await tx.run_script("INSERT INTO tags VALUES (7, 'a', x'01', 0)")


async def test_a_migration_that_breaks_a_foreign_key_is_undone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/notes.db"
    await bring_to(tmp_path, url, models(Column("author_id", Integer)))
    async with open_database(url) as database, database.transaction() as tx:
        await tx.run_script("INSERT INTO notes (id, author_id) VALUES (1, 9)")
    with pytest.raises(ConfigurationError, match=r"foreign key without its row: notes to authors"):
        await bring_to(tmp_path, url, models(Column("author_id", Integer, ForeignKey("authors.id"))))
    async with open_database(url) as database:
        assert (await Migrations(tmp_path).current(database) or "").endswith("0001_change_the_notes")


async def test_a_table_may_be_left_out_of_the_comparison(tmp_path: Path) -> None:
    await bring_to(tmp_path, f"sqlite:///{tmp_path}/notes.db", models())
    assert (
        await differences_of(tmp_path, "sqlite:", models(Column("n", Text), info={"compare": False}))
    ).sentences == []


async def test_models_are_compared_with_a_migrated_database(postgres_server: str, tmp_path: Path) -> None:
    async with empty_schema(postgres_server):
        differences = await differences_of(tmp_path, postgres_server, models())
        differences.write(tmp_path, [], "notes")
        with pytest.raises(ConfigurationError, match=r"lacks 0001_notes, .*run restwell migrate"):
            await differences_of(tmp_path, postgres_server, models())
        async with open_database(postgres_server) as database:
            await Migrations(tmp_path).upgrade(database)
        broken = models(Column("n", Integer, ForeignKey("nowhere.id")))
        with pytest.raises(ConfigurationError, match=r"cannot create what the models declare: .*nowhere"):
            await differences_of(tmp_path, postgres_server, broken)


COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(
            st.sampled_from([Text, BigInteger] if name != "d" else [Integer]),
            st.booleans(),
            st.sampled_from([None, "1", "2"]),
            st.sampled_from([None, "index", "unique"]),
            st.booleans() if name == "d" else st.just(value=False),
        )
        for name in "abcd"
    },
)


def made(columns: dict[str, Any], types: dict[str, Any]) -> MetaData:
    """Notes with these columns. A column keeps its type; without a default it may be null, unless its table is new."""
    items: list[Any] = []
    for name, (kind, nullable, default, key, refers) in columns.items():
        keys = [ForeignKey("authors.id")] if refers else []
        may_be_null = nullable or default is None
        column_type = types.setdefault(name, kind)
        items.append(Column(name, column_type, *keys, nullable=may_be_null, server_default=default))
        if key is not None:
            items.append(Index(f"notes_by_{name}", name, unique=key == "unique"))
    return models(*items)


async def follow(folder: Path, url: str, steps: list[dict[str, Any]]) -> None:
    types: dict[str, Any] = {}
    for step in steps:
        wanted = made(step, types)
        await bring_to(folder, url, wanted)
        found = await differences_of(folder, url, wanted)
        assert found.sentences == []
        assert found._schema == found._models  # also where the comparison would see no difference


STEPS = st.lists(COLUMNS, min_size=2, max_size=4)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_models_is_reached_by_its_migrations(steps: list[dict[str, Any]]) -> None:
    """Fails if a written migration leaves a difference, or cannot run after the ones before it."""
    with TemporaryDirectory() as folder:
        asyncio.run(follow(Path(folder), f"sqlite:///{folder}/notes.db", steps))


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_models_is_reached_on_postgresql(postgres_server: str, steps: list[dict[str, Any]]) -> None:
    async def follow_and_empty(folder: Path) -> None:
        async with empty_schema(postgres_server):
            await follow(folder, postgres_server, steps)

    with TemporaryDirectory() as folder:
        asyncio.run(follow_and_empty(Path(folder)))


@asynccontextmanager
async def empty_schema(url: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        async with open_database(url) as database, database.transaction() as tx:
            await tx.run_script("DROP SCHEMA public CASCADE")
            await tx.run_script("CREATE SCHEMA public")
