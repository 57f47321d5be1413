"""Migrations that do not form a linear history are refused, each with one line that says what to do."""

from pathlib import Path

import pytest

from migration_files import ONE, TWO, only, step, write
from restwell.database import Migrations
from restwell.errors import ConfigurationError


@pytest.mark.parametrize(
    ("files", "line"),
    [
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "0002_c": TWO},
            "0002_b.py and 0002_c.py have the same number:"
            " rename the one that has not run on any database, to 0003_c.py, "
            'with revision = "0003" and down_revision = "0002"',
            id="two files of one number",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "002_c": step("002", "0001"), "0003_d": step("0003", "0002")},
            "0002_b.py and 002_c.py have the same number:"
            " rename the one that has not run on any database, to 0004_c.py",
            id="one number in other digits",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO, "0003_c": step("0003", "0001")},
            '0002_b.py and 0003_c.py both follow "0001": set down_revision = "0002" in 0003_c.py',
            id="two heads",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": step("0002", None)},
            '0001_a.py and 0002_b.py both follow None: set down_revision = "0001" in 0002_b.py',
            id="two beginnings",
        ),
        pytest.param(
            {"0001_a": ONE, "0003_c": step("0003", "0002")},
            '0003_c.py follows "0002", which is not the migration before it: set down_revision = "0001" in 0003_c.py',
            id="a missing link",
        ),
        pytest.param(
            {"0001_a": step("0001", "0002"), "0002_b": TWO},
            '0001_a.py follows "0002", which is not the migration before it: set down_revision = None in 0001_a.py',
            id="a cycle",
        ),
        pytest.param(
            {"0001_a": step("0001", "0001")},
            '0001_a.py follows "0001", which is not the migration before it: set down_revision = None',
            id="itself",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO.replace("'0001'", "('0001', '0000')")},
            "0002_b.py follows ('0001', '0000'), which is not the migration before it",
            id="a merge of two",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": TWO.replace("down_revision = '0001'", "")},
            '0002_b.py does not declare which migration it follows: set down_revision = "0001"',
            id="no link",
        ),
        pytest.param(
            {"0001_a": ONE, "0002_b": step("0001", "0001")},
            '0002_b.py: its revision is "0001": set revision = "0002"',
            id="one revision twice",
        ),
        pytest.param(
            {"0001_a": ONE.replace('"0001"', 'str("0001")')},
            '0001_a.py: its revision is "str(\'0001\')": set revision = "0001"',
            id="a revision that is computed",
        ),
        pytest.param(
            {"0001_a": ONE, "5f3ab2_b": TWO},
            "5f3ab2_b.py is not a valid name of a migration: rename it to 0002_what_it_does.py, or move it out of",
            id="an invalid name among others",
        ),
        pytest.param(
            {"add-notes": ONE},
            "add-notes.py is not a valid name of a migration: rename it to 0001_what",
            id="an invalid name only",
        ),
        pytest.param({"0001_a": ONE + "def ("}, "0001_a.py, line 8: ", id="a syntax error"),
        pytest.param({"0001_a": "\0"}, "0001_a.py", id="a null byte"),
        pytest.param(
            {"0001_a": ONE.replace("def upgrade", "def up")},
            "0001_a.py has no function upgrade",
            id="no upgrade function",
        ),
        pytest.param(
            {"0001_a": ONE.replace(" (pre-deploy)", "")},
            "0001_a.py: end the first line of its docstring with (pre-deploy) or (post-deploy)",
            id="no phase",
        ),
        pytest.param({}, "no migrations in", id="an empty folder"),
    ],
)  # fmt: skip
def test_migrations_without_a_linear_history_are_refused_with_a_hint(
    tmp_path: Path, files: dict[str, str], line: str
) -> None:
    """Regression: of two files with the same number only one ran; files with invalid names were ignored."""
    with pytest.raises(ConfigurationError) as refused:
        only(tmp_path, **files)
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].startswith(line)
    assert "\n" not in str(refused.value)


def test_branches_with_two_migrations_each_are_told_consecutive_numbers(tmp_path: Path) -> None:
    """Breaks when each is given the same new number: the next start refuses them again."""
    with pytest.raises(ConfigurationError) as refused:
        only(tmp_path, **{"0001_a": ONE, "0002_b": TWO, "0002_x": TWO, **dict.fromkeys(("0003_c", "0003_y"), ONE)})
    lines = [
        (
            f"{one} and {other} have the same number: rename the one that has not run on any database, to {new},"
            f' with revision = "{new[:4]}" and down_revision = "{before}"'
        )
        for one, other, new, before in (
            ("0002_b.py", "0002_x.py", "0004_x.py", "0003"),
            ("0003_c.py", "0003_y.py", "0005_y.py", "0004"),
        )
    ]
    assert refused.value.faults == lines


def test_errors_in_the_files_of_a_package_name_it(tmp_path: Path) -> None:
    write(tmp_path, {"0001_a": ONE, "0002_b": TWO, "0002_c": TWO})
    with pytest.raises(ConfigurationError, match=r"^accounts: 0002_b\.py and 0002_c\.py have the same number: "):
        Migrations(packages={"accounts": tmp_path})
    with pytest.raises(ConfigurationError, match=r"^accounts: the folder \S+/gone/versions does not exist: create it"):
        Migrations(packages={"accounts": tmp_path / "gone"})


def test_a_missing_or_unreadable_migrations_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"the folder {tmp_path}/versions does not exist: create it"):
        Migrations(tmp_path)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_init.sql").touch()
    with pytest.raises(
        ConfigurationError, match=r"no migrations in .*; ignored: 0001_init\.sql: name the first one 0001"
    ):
        Migrations(tmp_path)
    (tmp_path / "versions" / "0002_broken.py").mkdir()
    with pytest.raises(ConfigurationError, match=r"0002_broken\.py cannot be read"):
        Migrations(tmp_path)


def test_migrations_are_ordered_by_number_and_may_be_annotated(tmp_path: Path) -> None:
    """The order is numeric, annotated revisions (as in Alembic's template) are read, and other files are ignored."""
    typed = step("10", "9").replace("down_revision =", "down_revision: str | None =")
    migrations = only(tmp_path, **{"9_a": step("9", None), "10_b": typed, "__init__": "", ".hidden": "("})
    assert [each.revision for each in migrations.files] == ["9_a", "10_b"]
    assert migrations.head == "10_b"
