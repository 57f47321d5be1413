"""The last release migrates and fills a database; this one upgrades it and serves.

``UPGRADE_FROM`` names another git revision. Before the first release it is the commit before the newest migration.
"""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx
import pytest

from restwell.database import Database, open_database
from restwell.database._schema import Schema, read_schema
from servers import RESTWELL, ROOT, restwell, serve

EMAIL: Final = "ada@example.com"
PASSWORD: Final = "a password of the last release"
MIGRATIONS: Final = ":(glob)src/restwell/**/versions/0*.py"
APP: Final = """
from enum import StrEnum
from restwell import Restwell
from restwell.accounts import Accounts
from restwell.web import Version

class Role(StrEnum):
    MEMBER = "member"
    ADMIN = "admin"

app = Restwell(name="upgraded").app([Version("/v1", [Accounts(roles=Role)])])
"""


def git(*arguments: str) -> bytes:
    """What it prints; nothing if it fails, as outside of a repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False).stdout


def last_release() -> str:
    """The revision, or ``""`` if the clone has none."""
    if chosen := os.environ.get("UPGRADE_FROM"):
        return chosen
    tag = git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^").decode().strip()
    newest = git("log", "--diff-filter=A", "--format=%H", "--max-count=1", "--", MIGRATIONS).decode().strip()
    return tag or git("rev-parse", "--verify", "--quiet", f"{newest}^").decode().strip()


@pytest.fixture(scope="session")
def prepare() -> Callable[[Database], Awaitable[None]]:
    """``database_url`` is empty, as ``empty_url`` is."""

    async def nothing(_: Database) -> None: ...

    return nothing


async def schema_of(url: str) -> Schema:
    async with open_database(url) as database:
        return await read_schema(database)


def test_the_database_of_the_last_release_is_upgraded_and_serves(
    empty_url: str, database_url: str, tmp_path: Path
) -> None:
    """Fails if a migration of that release is edited in place: its databases do not have the change."""
    release = last_release()
    if not release:
        pytest.skip("no earlier release was upgraded: this clone has none (git fetch --unshallow --tags)")
    with tarfile.open(fileobj=BytesIO(git("archive", release, "src"))) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    (tmp_path / "upgraded.py").write_text(APP)
    new = {"RESTWELL_APP": "upgraded:app", "DATABASE_URL": empty_url}
    old = {**os.environ, **new, "RUNTIME_DIR": str(tmp_path / "run"), "PYTHONPATH": str(tmp_path / "old/src")}
    for arguments in (["migrate"], ["users", "add", EMAIL]):
        command = [sys.executable, "-m", "restwell", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=old, input=PASSWORD, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{release}: {done.stderr}"
    for url in (empty_url, database_url):
        upgraded = restwell("migrate", cwd=tmp_path, **(new | {"DATABASE_URL": url}))
        assert upgraded.returncode == 0, upgraded.stderr
    assert asyncio.run(schema_of(empty_url)) == asyncio.run(schema_of(database_url)), release
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **new) as served:
        body = {"email": EMAIL, "password": PASSWORD}
        assert httpx.post(f"{served.url}/v1/sessions", json=body).status_code == 201
