"""A database whose applied migrations are not a prefix of the history is refused, with a hint."""

from functools import partial
from pathlib import Path

import pytest

from migration_files import ONE, TWO, only, step, write
from restwell.database import Database, Migrations, open_database
from restwell.errors import ConfigurationError


async def refused(migrations: Migrations, database: Database, words: str) -> None:
    """Assert that every operation that compares migrations and database is refused."""
    before = await migrations.applied(database)
    for operation in (migrations.upgrade, partial(migrations.upgrade, before_deploy=True), migrations.check):
        with pytest.raises(ConfigurationError, match=words) as error:
            await operation(database)
        assert len(error.value.faults) == 1
    with pytest.raises(ConfigurationError, match=words):  # migrate --sql
        migrations.pending(before)
    assert await migrations.applied(database) == before


async def test_a_migration_merged_behind_applied_ones_is_refused(empty_url: str, tmp_path: Path) -> None:
    """Regression: the migration never ran, and every command reported an up-to-date schema."""
    async with open_database(empty_url) as database:
        await only(tmp_path, **{"0001_a": ONE, "0003_c": step("0003", "0001")}).upgrade(database)
        late = only(tmp_path, **{"0001_a": ONE, "0002_b": TWO, "0003_c": step("0003", "0002")})
        await refused(
            late,
            database,
            r"^0002_b is ordered before 0003_c, which was applied .*: rename it to be the last one, 0004_b\.py$",
        )
        fixed = only(tmp_path, **{"0001_a": ONE, "0003_c": step("0003", "0001"), "0004_b": step("0004", "0003")})
        assert await fixed.upgrade(database)
        await fixed.check(database)


async def test_a_database_that_ran_another_branch_is_refused(empty_url: str, tmp_path: Path) -> None:
    """Regression: revision 0002 counted as applied, no matter which file had run."""
    async with open_database(empty_url) as database:
        branch = only(tmp_path, **{"0001_a": ONE, "0002_b": TWO})
        await branch.upgrade(database)
        main = only(tmp_path, **{"0001_a": ONE, "0002_c": step("0002", "0001", table="c")})
        await refused(
            main,
            database,
            r"^the database has applied 0002_b, which has no file here, but not 0002_c: restore 0002_b\.py",
        )
        deleted = only(tmp_path, **{"0001_a": ONE})  # as with a newer release that only added
        await deleted.check(database)
        assert await deleted.upgrade(database) == []


async def test_a_package_has_a_history_of_its_own(empty_url: str, tmp_path: Path) -> None:
    """Breaks when revisions of the package and of the application are compared with each other."""
    kit = write(tmp_path / "kit", {"0001_a": step("0001", None, table="a"), "0002_b": step("0002", "0001", table="b")})
    app = write(tmp_path / "app", {"0001_a": step("0001", None, table="c")})
    async with open_database(empty_url) as database:
        both = Migrations(app, packages={"kit": kit})
        assert both.head == "kit 0002_b, 0001_a"
        await both.upgrade(database)
        assert await both.applied(database) == {
            "kit": {"0001_a": "pre", "0002_b": "pre"},
            "application": {"0001_a": "pre"},
        }
        await both.check(database)

        write(kit, {"0001_a": step("0001", None), "0002_x": step("0002", "0001")})
        words = (
            r"^the database has applied kit 0002_b, which has no file here, but not kit 0002_x: restore kit 0002_b\.py"
        )
        await refused(Migrations(app, packages={"kit": kit}), database, words)

        write(kit, {"0001_a": step("0001", None), "0001_x": step("0001", None), "0002_b": step("0002", "0001")})
        with pytest.raises(ConfigurationError, match=r"^kit: 0001_a\.py and 0001_x\.py have the same number"):
            Migrations(app, packages={"kit": kit})


async def test_only_what_is_behind_is_named(empty_url: str, tmp_path: Path) -> None:
    kit, app = tmp_path / "kit", write(tmp_path / "app", {"0001_a": step("0001", None, table="a")})
    async with open_database(empty_url) as database:
        for files, words in (
            ({"0001_b": ONE}, "^the database is at revision none, not kit 0001_b, 0001_a: run restwell migrate$"),
            ({"0001_b": ONE, "0002_c": TWO}, "^the database is at revision kit 0001_b, not kit 0002_c: run restwell"),
        ):
            migrations = Migrations(app, packages={"kit": write(kit, files)})
            with pytest.raises(ConfigurationError, match=words):
                await migrations.check(database)
            await migrations.upgrade(database)
            await migrations.check(database)


async def test_an_older_release_starts_after_pre_deploy_migrations_of_a_package_only(
    empty_url: str, tmp_path: Path
) -> None:
    """Breaks when only the application's migrations are checked."""
    files = {"0001_a": ONE, "0002_b": TWO, "0003_c": step("0003", "0002", phase="post")}
    older = Migrations(packages={"kit": write(tmp_path / "older", {"0001_a": ONE})})
    newer = Migrations(packages={"kit": write(tmp_path / "newer", files)})
    async with open_database(empty_url) as database:
        await older.upgrade(database)
        with pytest.raises(ConfigurationError, match=r"at revision kit 0001_a, not kit 0003_c: run restwell migrate"):
            await newer.check(database)
        await newer.upgrade(database, before_deploy=True)
        assert await newer.current(database) == "kit 0002_b"
        await older.check(database)
        await newer.check(database)
        await newer.upgrade(database)
        words = r"^the database is at revision kit 0003_c, .* \(kit 0001_a\): deploy a newer release$"
        with pytest.raises(ConfigurationError, match=words):
            await older.check(database)


async def test_an_application_that_lost_its_migrations_is_refused(empty_url: str, tmp_path: Path) -> None:
    """After a post-deploy migration. Breaks when an application without a folder is not compared."""
    async with open_database(empty_url) as database:
        await only(tmp_path, **{"0001_a": step("0001", None, phase="post")}).upgrade(database)
        with pytest.raises(
            ConfigurationError, match=r"0001_a, which is incompatible with this release \(no migrations\)"
        ):
            await Migrations(packages={}).check(database)


async def test_migrations_of_a_package_that_is_no_longer_used_are_ignored(empty_url: str, tmp_path: Path) -> None:
    unused = write(tmp_path, {"0001_a": step("0001", None, phase="post")})
    async with open_database(empty_url) as database:
        await Migrations(packages={"unused": unused}).upgrade(database)
        without = Migrations(packages={})
        await without.check(database)
        assert await without.current(database) is None
