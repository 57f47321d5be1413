"""``restwell cache``: statistics of a running server, and invalidation in all of its processes."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from servers import RESTWELL, Served, free_port, restwell, serve
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    url = f"sqlite:///{tmp_path / 'tiny.db'}"
    return {**tiny_environment(url), "WORKERS": "2", "RUNTIME_DIR": str(tmp_path / "cache")}


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as started:
        yield started


def cache_status(served: Served, path: str) -> str:
    return httpx.get(f"{served.url}{path}").headers["cache-status"].partition(";")[2].partition(";")[0].strip()


def test_cache_clear_clears_the_cache_of_every_process(
    served: Served, environment: dict[str, str], tmp_path: Path
) -> None:
    """Breaks when the invalidation reaches only the process of the command."""
    paths = ("/v1/notes/1", "/v1/notes?limit=1")
    for path in paths:
        cache_status(served, path)
    assert [cache_status(served, path) for path in paths] == ["hit", "hit"]
    done = restwell("cache", "clear", "--tag=note:1", cwd=tmp_path, **environment)
    assert done.stdout == "invalidated: note:1\n"
    assert [cache_status(served, path) for path in paths] == ["fwd=miss", "hit"]
    assert restwell("cache", "clear", cwd=tmp_path, **environment).stdout == "invalidated: everything\n"
    assert [cache_status(served, path) for path in paths] == ["fwd=miss", "fwd=miss"]


def test_seed_clears_the_cache_of_a_running_server(served: Served, environment: dict[str, str], tmp_path: Path) -> None:
    path = "/v1/notes?limit=1"
    cache_status(served, path)
    restwell("seed", cwd=tmp_path, **environment).check_returncode()
    assert cache_status(served, path) == "fwd=miss"


def test_cache_stats_shows_the_counts_of_every_worker(
    served: Served, environment: dict[str, str], tmp_path: Path
) -> None:
    for _ in range(10):
        httpx.get(f"{served.url}/v1/notes?limit=3")
    done = restwell("cache", "stats", cwd=tmp_path, **environment, PORT=served.url.rpartition(":")[2])
    assert done.returncode == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if "GET /v1/notes " in line)
    assert row[-1].endswith("%")
    assert "2 of 2 workers use it" in done.stdout
    assert "entries" in done.stdout


def test_cache_stats_fails_without_a_server(environment: dict[str, str], tmp_path: Path) -> None:
    done = restwell("cache", "stats", cwd=tmp_path, **environment, PORT=str(free_port()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no response from" in done.stderr


def test_cache_clear_fails_without_redis(environment: dict[str, str], tmp_path: Path) -> None:
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    done = restwell("cache", "clear", cwd=tmp_path, **environment, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing was invalidated" in done.stderr.splitlines()[-1]
