"""``restwell users``: the first admin of an application."""

import sqlite3
from pathlib import Path

import pytest

from servers import SUPPORT, restwell

pytestmark = pytest.mark.integration
EMAIL = "boss@app.example"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "RESTWELL_APP": "accounts_app:accounts",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
    }


def test_an_operator_adds_the_first_admin(environment: dict[str, str], tmp_path: Path) -> None:
    """The password is read from standard input."""
    add = ("users", "add", EMAIL, "--role=administrator")
    refused = restwell(*add, cwd=tmp_path, **environment)
    assert (refused.returncode, "run restwell migrate" in refused.stderr) == (2, True)
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    for arguments, password, reason in (
        (("users", "add", EMAIL, "--role=owner"), "a long enough one", "unknown role owner: use one of member, admini"),
        (("users", "add", "no address"), "a long enough one", "$.email"),
        (add, "short", "$.password"),
        (add, "password", "too common"),
    ):
        refused = restwell(*arguments, cwd=tmp_path, stdin=f"{password}\n", **environment)
        assert (refused.returncode, reason in refused.stderr) == (2, True), refused.stderr
    added = restwell(*add, cwd=tmp_path, stdin="a long enough one\n", **environment)
    assert (added.returncode, added.stdout) == (0, f"added: {EMAIL}\n")
    with sqlite3.connect(tmp_path / "app.db") as database:
        assert database.execute("SELECT name, role, active FROM users").fetchall() == [("boss", "administrator", 1)]
    again = restwell(*add, cwd=tmp_path, stdin="a long enough one\n", **environment)
    assert (again.returncode, "exists" in again.stderr) == (2, True), again.stderr


def test_an_application_without_accounts_is_told_how_to_add_them(tmp_path: Path) -> None:
    environment = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(SUPPORT)}
    refused = restwell("users", "add", EMAIL, cwd=tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/t.db", **environment)
    assert (refused.returncode, refused.stderr) == (
        2,
        "restwell: this application has no accounts: add restwell.accounts.Accounts to it\n",
    )


WITHOUT_PASSWORDS = """
from accounts_app import Role
from restwell import Project, Restwell
from restwell.accounts import Accounts
from restwell.settings import Settings


def create_app(settings):
    return Restwell(settings, name="providers").app([Accounts(roles=Role, passwords=False)])


project = Project(name="providers", settings=Settings, create_app=create_app)
"""


def test_without_the_part_passwords_no_password_is_asked_for(environment: dict[str, str], tmp_path: Path) -> None:
    """Seen to fail: the account had a password that no route accepts. The address links it to a provider's identity."""
    (tmp_path / "providers.py").write_text(WITHOUT_PASSWORDS)
    own = {**environment, "RESTWELL_APP": "providers:project"}
    restwell("migrate", cwd=tmp_path, **own).check_returncode()
    added = restwell("users", "add", EMAIL, "--role=administrator", cwd=tmp_path, **own)
    assert (added.returncode, added.stdout) == (0, f"added: {EMAIL}\n"), added.stderr
    with sqlite3.connect(tmp_path / "app.db") as database:
        stored = database.execute("SELECT password_hash, email_verified_at IS NOT NULL FROM users").fetchall()
    assert stored == [(None, 1)]
