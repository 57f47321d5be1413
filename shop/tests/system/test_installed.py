"""The shop as an adopter deploys it: installed from wheels, away from the repository, by a user without privileges."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

import reaper
from bare_environments import bare_environment
from servers import serve, wait_until

ADA: Final = {"email": "ada@example.com", "name": "Ada", "password": "three random words"}
SHARED_FOLDERS: Final = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]  # noqa: S108  # looked at, not used


@dataclass
class Installation:
    """``command`` runs ``restwell`` as its user, in ``folder``, which is all that the user may write to."""

    command: list[str]
    folder: Path
    home: Path
    user: int
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def foreign_files(self) -> set[Path]:
        """The files in its home and, if it has a user of its own, in the folders that every user may write to."""
        if self.user == os.geteuid():
            return set(self.home.iterdir())
        shared = {path for folder in SHARED_FOLDERS if folder.is_dir() for path in folder.iterdir()}
        return {path for path in shared if path.lstat().st_uid == self.user} | set(self.home.iterdir())


@pytest.fixture
def installation() -> Iterator[Installation]:
    programs = bare_environment("restwell-shop")
    (packages,) = programs.parent.glob("lib/python*/site-packages")
    for name in ("restwell", "shop"):  # as pip does
        subprocess.run([programs / "python", "-m", "compileall", "-q", packages / name], check=True)
    with tempfile.TemporaryDirectory(dir=os.environ[reaper.FOLDER]) as made:
        root = Path(made)
        root.chmod(0o755)
        for name in ("work", "home"):
            (root / name).mkdir(mode=0o755)
        as_user, user = _unprivileged(programs / "python", root / "work")
        (root / "home").chmod(0o555)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root / "home"),
            "RESTWELL_APP": "shop.app:shop",
            "TMPDIR": str(root / "work"),
            "LOG_FORMAT": "json",
        }
        yield Installation([*as_user, str(programs / "restwell")], root / "work", root / "home", user, environment)


def _unprivileged(python: Path, folder: Path) -> tuple[list[str], int]:
    """As root: the prefix that runs a command as a user without privileges, the owner of ``folder``; and its id."""
    if os.geteuid() != 0:
        return [], os.geteuid()
    user_id = 65_534  # without privileges
    prefix = ["setpriv", f"--reuid={user_id}", f"--regid={user_id}", "--clear-groups", "--"]
    if subprocess.run([*prefix, python, "-c", ""], check=False, capture_output=True).returncode != 0:
        # Only root may read the interpreter: root without capabilities may write no more than other users.
        return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"], os.geteuid()
    os.chown(folder, user_id, user_id)
    return prefix, user_id


def test_the_installed_shop_runs_without_its_repository(installation: Installation) -> None:
    """Breaks if the migrations, or the files of the documentation page, are looked for in the working folder."""
    before = installation.foreign_files()
    assert installation.run("migrate").startswith("empty -> ")
    assert "1,000 products" in installation.run("seed")
    assert "/v1/orders" in installation.run("routes")
    assert json.loads(installation.run("openapi"))["info"]["title"] == "shop"
    assert installation.run("explain").endswith(" 0 findings\n")
    own = installation.environment | {
        "RUNTIME_DIR": str(installation.folder / "run"),
        "PAYMENTS_URL": "fake:///var/payments.db",
    }
    with serve(installation.home.parent, *installation.command, "serve", cwd=installation.folder, **own) as served:
        assert httpx.get(f"{served.url}/docs").status_code == 200
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
            assert httpx.get(f"{served.url}/docs/{name}").status_code == 200
        assert len(httpx.get(f"{served.url}/v1/products").json()["items"]) > 1
        assert httpx.post(f"{served.url}/v1/users", json=ADA).status_code == 201
    worker = subprocess.Popen(
        [*installation.command, "worker"], cwd=installation.folder, env=own, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: any((installation.folder / "var/mail").glob("*.eml")), worker)
    worker.terminate()
    assert worker.wait(30) == 0
    assert installation.foreign_files() == before
