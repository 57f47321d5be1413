"""``restwell api usage``: who calls what is deprecated, from a running server."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from servers import RESTWELL, Served, free_port, restwell, serve
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration

APP = '''
from datetime import date

from restwell import Project, Restwell
from restwell.settings import Settings
from restwell.web import Lifecycle, Version, get


@get("/things")
async def list_things() -> list[str]:
    """List things."""
    return []


def create_app(settings):
    end = Lifecycle(deprecated=date(2026, 12, 1), sunset=date(2100, 1, 1), successor="/v2", guide="/migration")
    old = Version("/v1", [list_things], lifecycle=end)
    return Restwell(settings, name="old").app([old, Version("/v2", [list_things])])


project = Project(name="old", settings=Settings, create_app=create_app)
'''


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "old.py").write_text(APP)
    given = tiny_environment(f"sqlite:///{tmp_path / 'old.db'}")
    own = {"RESTWELL_APP": "old:project", "PYTHONPATH": f"{given['PYTHONPATH']}:{tmp_path}"}
    return {**given, **own, "WORKERS": "2", "RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as started:
        yield started


def usage(served: Served, environment: dict[str, str], tmp_path: Path) -> list[list[str]]:
    done = restwell("api", "usage", cwd=tmp_path, **environment, PORT=served.url.rpartition(":")[2])
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_api_usage_shows_who_calls_what_is_deprecated(
    served: Served, environment: dict[str, str], tmp_path: Path
) -> None:
    """Breaks when only the worker process that responds is counted, or the dates are left out."""
    dates = [
        ["deprecated", "since", "sunset", "successor", "guide"],
        ["/v1", "2026-12-01", "2100-01-01", "/v2", "/migration"],
        [],
    ]
    assert usage(served, environment, tmp_path) == [*dates, ["0", "requests", "for", "deprecated", "routes"]]
    for _ in range(10):
        httpx.get(f"{served.url}/v1/things")
        httpx.get(f"{served.url}/v2/things")
    expected = [
        ["version", "client", "requests"],
        ["/v1", "anonymous", "10"],
        ["/v2", "anonymous", "10"],
        [],
        *dates,
        ["method", "route", "client", "requests"],
        ["GET", "/v1/things", "anonymous", "10"],
        [],
        ["10", "requests", "for", "deprecated", "routes"],
    ]
    give_up_at = time.monotonic() + 30
    while (shown := usage(served, environment, tmp_path)) != expected and time.monotonic() < give_up_at:
        time.sleep(0.5)  # the other worker publishes its counts every few seconds
    assert shown == expected


def test_api_usage_fails_without_a_server(environment: dict[str, str], tmp_path: Path) -> None:
    done = restwell("api", "usage", cwd=tmp_path, **environment, PORT=str(free_port()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no response from" in done.stderr


def test_api_usage_says_when_nothing_is_deprecated(tmp_path: Path) -> None:
    environment = tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}")
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        assert usage(served, environment, tmp_path) == [["nothing", "is", "deprecated"]]


def test_openapi_prints_the_document_of_a_version(environment: dict[str, str], tmp_path: Path) -> None:
    for options, path in (
        ([], "/v2/things"),
        (["--version", "/v2"], "/v2/things"),
        (["--version", "/v1"], "/v1/things"),
    ):
        assert path in restwell("openapi", *options, cwd=tmp_path, **environment).stdout
    done = restwell("openapi", "--version", "v1", cwd=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (2, "restwell: --version v1: choose one of /v1, /v2\n")
