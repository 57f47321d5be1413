"""``restwell api``: what it prints, and its exit codes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from servers import restwell
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration
Json = dict[str, Any]

DOCUMENT: Json = {"openapi": "3.1.0", "info": {}, "paths": {"/a": {"get": {"responses": {"204": {}}}}}}
WITH_ERROR: Json = {
    **DOCUMENT,
    "paths": {"/a": {"get": {"responses": {"204": {}, "409": {}}}}, "/b": {"get": {"responses": {"204": {}}}}},
}
WITHOUT: Json = {**DOCUMENT, "paths": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, document in (("old", DOCUMENT), ("risky", WITH_ERROR), ("breaking", WITHOUT)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = restwell("api", *arguments, cwd=folder, **tiny_environment(f"sqlite:///{folder / 'tiny.db'}"))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("new", "options", "code", "last"),
    [
        ("old.json", [], 0, "0 breaking, 0 risky, 0 safe"),
        ("risky.json", [], 0, "0 breaking, 1 risky, 1 safe"),
        ("risky.json", ["--strict"], 1, "0 breaking, 1 risky, 1 safe"),
        ("breaking.json", [], 1, "1 breaking, 0 risky, 0 safe"),
    ],
)
def test_the_exit_code_is_1_if_a_change_breaks_clients(
    folder: Path, new: str, options: list[str], code: int, last: str
) -> None:
    """Breaks when the exit code is of the number of changes, or of risky ones without --strict."""
    found, stdout, _ = run(folder, "diff", "old.json", new, *options)
    assert (found, stdout.splitlines()[-1]) == (code, last)


def test_a_breaking_change_is_told_with_whom_it_breaks_and_what_to_do(folder: Path) -> None:
    assert run(folder, "diff", "old.json", "breaking.json")[1].splitlines() == [
        "breaking  GET /a: operation: removed",
        "          Clients that call it get a 404 or 405.",
        "          Keep it, announce its end with a sunset date, and remove it after that date.",
        "1 breaking, 0 risky, 0 safe",
    ]


def test_the_changes_are_written_as_json_and_markdown_too(folder: Path) -> None:
    code, stdout, _ = run(folder, "diff", "old.json", "breaking.json", "--format", "json")
    assert (code, json.loads(stdout)["changes"][0]["operations"]) == (1, ["GET /a"])
    code, stdout, _ = run(folder, "diff", "old.json", "breaking.json", "--format=markdown")
    assert (code, stdout.splitlines()[2].startswith("- **breaking** `GET /a: operation: removed`")) == (1, True)


def test_the_changelog_is_markdown_and_always_succeeds(folder: Path) -> None:
    code, stdout, _ = run(folder, "changelog", "old.json", "breaking.json")
    assert (code, stdout.splitlines()[0]) == (0, "### Breaking changes")
    assert run(folder, "changelog", "old.json", "old.json") == (0, "No changes of the API.\n", "")


def test_the_application_is_compared_with_the_last_release(folder: Path) -> None:
    """Before the first tag, with the document in the folder. Breaks when an older tag is taken."""
    environment = tiny_environment(f"sqlite:///{folder / 'tiny.db'}")
    document = json.loads(restwell("openapi", cwd=folder, **environment).stdout)
    (folder / "pyproject.toml").write_text('[tool.restwell]\nopenapi = "openapi.json"\n')
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    code, stdout, stderr = run(folder, "diff")
    assert (code, stdout.splitlines()[0]) == (1, "breaking  GET /a: operation: removed")
    assert stderr == (
        "no release to compare with, because the repository has no tag; compared with openapi.json in this folder\n"
    )
    assert run(folder, "changelog")[0] == 0
    git(folder, "tag", "v1.0.0")
    (folder / "openapi.json").write_text(json.dumps(document))
    git(folder, "commit", "--quiet", "--all", "--message=second")
    assert run(folder, "diff")[0] == 1  # GET /a is no route of the application
    git(folder, "tag", "v1.1.0")
    assert run(folder, "diff") == (0, "0 breaking, 0 risky, 0 safe\n", "")
    assert run(folder, "diff", "v1.0.0", "v1.1.0")[0] == 1
    clone = folder / "clone"
    git(folder, "clone", "--quiet", "--depth=1", "--no-tags", folder.as_uri(), str(clone))
    code, stdout, stderr = run(clone, "diff")
    assert (code, stdout) == (0, "0 breaking, 0 risky, 0 safe\n")
    assert "This clone is shallow: git fetch --unshallow --tags gets its tags; compared with" in stderr
    code, _, stderr = run(clone, "diff", "v1.0.0")
    assert (code, stderr) == (
        2,
        "restwell: v1.0.0: no file, URL or git revision; this clone is shallow: run git fetch --unshallow --tags\n",
    )


def test_the_snapshots_of_every_version_are_compared(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.restwell]\nopenapi = "api/{version}.json"\n')
    (folder / "api").mkdir()
    for name, document in (("v1", DOCUMENT), ("v2", WITH_ERROR)):
        (folder / "api" / f"{name}.json").write_text(json.dumps(document))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    git(folder, "tag", "v1.0.0")
    (folder / "api/v1.json").unlink()
    (folder / "api/v2.json").write_text(json.dumps(DOCUMENT))
    git(folder, "commit", "--quiet", "--all", "--message=second")
    code, stdout, _ = run(folder, "diff", "v1.0.0", "HEAD")
    assert (code, stdout.splitlines()[0]) == (1, "breaking  GET /a, GET /b: operation: removed")  # of v1, and of v2
    assert run(folder, "diff", "v1.0.0", "HEAD", "--version=/v2")[1].endswith("1 breaking, 0 risky, 1 safe\n")
    assert "has v1, v2: choose one" in run(folder, "diff", "v1.0.0", "old.json")[2]
    code, _, stderr = run(folder, "diff", "--version=/v7")
    why = "no release to compare with, because v1.0.0 has no snapshot api/{version}.json"
    assert (code, stderr) == (0, f"{why}; nothing was compared: there is no api/{{version}}.json\n")
    for snapshot in ("x.json", "nothing/x.json"):
        assert f"nothing was compared: there is no {snapshot}" in run(folder, "diff", f"--snapshot={snapshot}")[2]
    git(folder, "tag", "--delete", "v1.0.0")
    code, stdout, _ = run(folder, "diff")
    assert (code, stdout.splitlines()[0]) == (1, "breaking  GET /a: operation: removed")
    assert run(folder, "diff", "v1.0.0", "--snapshot=x.json")[0] == 2
    assert "--version /v7: choose one of /v1" in run(folder, "diff", "old.json", "--version=/v7")[2]


def test_a_document_that_is_not_covered_is_a_configuration_error(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps({**DOCUMENT, "externalDocs": {}}))
    code, stdout, stderr = run(folder, "diff", "other.json", "old.json")
    assert (code, stdout) == (2, "")
    assert stderr == "restwell: other.json: /externalDocs: not covered by the comparison\n"


def test_an_application_that_does_not_start_is_told_in_one_sentence(tmp_path: Path) -> None:
    """Fails if a wrong declaration is a traceback, whose exit code is that of a breaking change."""
    (tmp_path / "wrong.py").write_text("raise TypeError('a conversion fails')\n")
    (tmp_path / "openapi.json").write_text(json.dumps(DOCUMENT))
    environment = {**tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}"), "RESTWELL_APP": "wrong:project"}
    for command in ("diff", "changelog"):
        done = restwell("api", command, "openapi.json", cwd=tmp_path, **environment)
        fault = (
            "restwell: wrong.py, line 1: TypeError: a conversion fails (LOG_LEVEL=debug shows the whole traceback)\n"
        )
        assert (done.returncode, done.stdout, done.stderr) == (2, "", fault)
