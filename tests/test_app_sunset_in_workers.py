"""The sunset of a version in a server with two worker processes, whose clock the test moves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from servers import RESTWELL, Served, restwell, serve, wait_until
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration

SUNSET: Final = datetime(2100, 7, 1, tzinfo=UTC).timestamp()
APP: Final = '''
import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace

from restwell import Project, Restwell
from restwell.edge import _lifecycle_hooks
from restwell.settings import Settings
from restwell.web import Lifecycle, Version, get, public

_lifecycle_hooks.time = SimpleNamespace(time=lambda: float(Path("clock").read_text()))


@get("/worker")
async def get_worker() -> int:
    """Get the process."""
    return os.getpid()


@get("/cached", cache=public(ttl_seconds=3_600, tags=["cached"]))
async def get_cached() -> int:
    """Get what is cached."""
    return 1


def create_app(settings):
    end = Lifecycle(deprecated=date(2026, 12, 1), sunset=date(2100, 7, 1), successor="/v2")
    parts = [get_worker, get_cached]
    return Restwell(settings, name="ending").app([Version("/v1", parts, lifecycle=end), Version("/v2", parts)])


project = Project(name="ending", settings=Settings, create_app=create_app)
'''


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "ending.py").write_text(APP)
    (tmp_path / "clock").write_text(str(SUNSET - 0.001))
    given = tiny_environment(f"sqlite:///{tmp_path / 'ending.db'}")
    own = {"RESTWELL_APP": "ending:project", "PYTHONPATH": f"{given['PYTHONPATH']}:{tmp_path}"}
    environment = {**given, **own, "WORKERS": "2", "RUNTIME_DIR": str(tmp_path / "run"), "RATE_LIMIT_SCALE": "0"}
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as started:
        yield started


def test_every_worker_responds_410_from_the_second_of_the_sunset(served: Served, tmp_path: Path) -> None:
    """Fails if the sunset is decided at start, or if the cache responds before the sunset is checked."""

    def responses(path: str) -> list[httpx.Response]:
        with httpx.Client(base_url=served.url, headers={"connection": "close"}) as client:  # one connection a request
            return [client.get(path) for _ in range(40)]

    wait_until(lambda: len({each.json() for each in responses("/v1/worker")}) == 2)
    assert [each.status_code for each in responses("/v1/cached")] == [200] * 40
    (tmp_path / "clock").write_text(str(SUNSET))
    for path in ("/v1/worker", "/v1/cached", "/v1/nothing"):
        assert {(each.status_code, each.json()["code"]) for each in responses(path)} == {(410, "gone")}
    assert len({each.json() for each in responses("/v2/worker")}) == 2
