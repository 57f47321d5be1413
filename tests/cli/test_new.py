"""``restwell new``: the project that it makes passes its own checks and tests, and serves."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from processes import READY_SECONDS
from servers import RESTWELL, restwell, serve

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
"""This environment has all that a new project installs."""


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=3 * READY_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_project_with_all_choices_passes_its_checks_and_tests(tmp_path: Path) -> None:
    """Fails if the migration lacks a column of the table, as ``author_id``; and if a file is not as ruff formats it."""
    made = restwell("new", "book-shop", "--accounts", "--postgresql", cwd=tmp_path)
    assert made.stdout == "book-shop is made. Next: cd book-shop && make run, or make test\n"
    project = tmp_path / "book-shop"
    tested = run(project, "make", "test", f"BIN={BIN}")
    assert "8 migrations, 0 findings" in tested
    assert "3 passed" in tested
    run(project, BIN / "zizmor", "--offline", "--quiet", "--no-progress", ".")
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    assert set(compose["services"]) == {"migrate", "api", "worker", "postgres"}
    assert not [file for file in project.rglob("*") if file.is_file() and "%accounts" in file.read_text("latin-1")]


def test_a_new_project_without_choices_serves_its_resource(tmp_path: Path) -> None:
    """Fails if ``compose.yaml`` does not pass a setting that production needs, as APP_URL."""
    restwell("new", "plain", cwd=tmp_path)
    project = tmp_path / "plain"
    for command in (["ruff", "format", "--check"], ["ruff", "check"], ["restwell", "migrate", "--check"], ["pytest"]):
        run(project, BIN / command[0], *command[1:])
    with serve(tmp_path, "make", "run", f"BIN={BIN}", cwd=project) as served:
        added = httpx.post(f"{served.url}/v1/notes", json={"text": "Water the plants."})
        assert httpx.get(f"{served.url}{added.headers['location']}").json() == added.json()
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    assert set(services) == {"migrate", "api", "worker"}
    values = {
        "APP_URL": "https://api.example.com",
        "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
        "JWT_SECRET": "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt",
        "SMTP_URL": "folder:var/mail",
    }
    assert services["api"]["environment"].keys() == values.keys()
    assert restwell("migrate", cwd=project, APP_ENV="production", **values).returncode == 0


@pytest.mark.parametrize("name", ["json", "class", "restwell", "Book", "book shop", "../book", "plain"])
def test_a_name_that_is_no_package_or_is_taken_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    """Fails if keywords of Python are accepted."""
    (tmp_path / "plain").mkdir()
    refused = restwell("new", name, cwd=tmp_path)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert [each.name for each in tmp_path.rglob("*")] == ["plain"]


def test_a_terminal_is_asked_for_the_choices_that_no_flag_has_made(tmp_path: Path) -> None:
    """Fails if a choice without a flag is the default on a terminal too."""
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [RESTWELL, "new", "asked", "--sqlite"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    os.write(ours, b"y\n")
    output, _ = asked.communicate(timeout=READY_SECONDS)
    os.close(ours)
    os.close(theirs)
    assert "Users with accounts, who sign in? [y/N]" in output
    assert "Accounts(roles=Role)" in (tmp_path / "asked/asked/app.py").read_text()
    assert "sqlite" in (tmp_path / "asked/compose.yaml").read_text()
