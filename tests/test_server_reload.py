"""SIGHUP replaces the workers by ones with the code that is installed now, and requests are answered meanwhile."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from hashlib import sha256
from importlib.metadata import version
from inspect import getsource
from pathlib import Path

import granian._signals
import httpx
import pytest
from granian.server.common import AbstractServer
from granian.server.mp import MPServer

from environments import migrated
from processes import children_of
from servers import RESTWELL, Served, serving, wait_until

pytestmark = pytest.mark.integration

CODE = """
from dataclasses import replace
from restwell.web import Controller, get
from tiny.app import app_of, project as tiny

class ReleaseController(Controller):
    path = "/release"

    @get("/")
    async def release(self) -> str:
        "Read the release."
        return "{release}"

project = replace(tiny, create_app=lambda settings: app_of(settings, ReleaseController))
"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    environment = {**await migrated(tmp_path / "app.db", "tiny.app"), "RESTWELL_APP": "released:project"}
    install(tmp_path, CODE.format(release="old"))
    environment |= {"WORKERS": "2", "DRAIN_SECONDS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as server:
        yield server


def install(folder: Path, code: str) -> None:
    (folder / "released.py").write_text(code)


async def releases(served: Served, count: int = 30) -> Counter[str]:
    """The releases that answer on new connections, and ready or not."""
    found: Counter[str] = Counter()
    for _ in range(count):
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            found[(await get(client, "/v1/release")).text] += 1
            await get(client, "/health/ready")
    return found


async def get(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """As a proxy does, repeat a request once, if the server closes the connection unanswered (docs/deploys.md)."""
    try:
        answer = await client.get(path)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        answer = await client.get(path)
    return answer.raise_for_status()


async def reload(served: Served, folder: Path, code: str) -> None:
    install(folder, code)
    served.process.send_signal(signal.SIGHUP)


async def workers_replaced(served: Served, before: set[int]) -> None:
    def replaced() -> bool:
        now = set(children_of(served.process.pid))
        return not before & now and len(now) == 2

    await asyncio.to_thread(wait_until, replaced, served.process, served)


async def test_sighup_loads_the_new_code_while_requests_are_answered(served: Served, tmp_path: Path) -> None:
    """Fails if workers are forked from the main process, which has imported the old code.

    Also fails if the old worker stops before the new one has started, or is not ready while it drains.
    """
    before = set(children_of(served.process.pid))
    assert set(await releases(served)) == {"old"}
    await reload(served, tmp_path, CODE.format(release="new"))
    replaced = asyncio.create_task(workers_replaced(served, before))
    while not replaced.done():
        await releases(served, 3)
    await replaced
    assert set(await releases(served)) == {"new"}
    first, second = children_of(served.process.pid)
    os.kill(first, signal.SIGKILL)  # its successor has the new code too
    await workers_replaced(served, {first})
    assert second in children_of(served.process.pid)
    assert set(await releases(served)) == {"new"}
    assert "refused to gracefully stop" not in served.output


async def test_code_that_does_not_start_replaces_no_worker(served: Served, tmp_path: Path) -> None:
    """Fails if a worker is stopped before its successor has started: the server then ends with the broken code."""
    before = set(children_of(served.process.pid))
    await reload(served, tmp_path, "raise ValueError('broken release')")
    await asyncio.to_thread(wait_until, lambda: "reload_failed" in served.output, served.process, served)
    assert set(children_of(served.process.pid)) == before
    assert set(await releases(served)) == {"old"}
    assert "broken release" in served.output
    crashed = min(before)
    os.kill(crashed, signal.SIGKILL)
    await workers_replaced(served, {crashed})
    assert set(await releases(served)) == {"old"}, "a crashed worker is replaced by one with the code that runs"


def test_the_private_methods_of_granian_are_those_that_the_server_was_written_for() -> None:
    """Fails on an upgrade that changes them: compare restwell/_server.py with the new ones, then change the digest.

    The server overrides ``_respawn_workers`` and ``set_loop_signals``, calls ``_spawn_worker``, and uses the others.
    """
    used = [
        MPServer._spawn_worker,
        *(getattr(AbstractServer, name) for name in ("_respawn_workers", "_reload", "_serve_loop", "_stop_workers")),
        *(getattr(AbstractServer, name) for name in ("shutdown", "signal_handler_interrupt", "signal_handler_reload")),
        granian._signals.set_loop_signals,
    ]
    digest = sha256("".join(map(getsource, used)).encode()).hexdigest()[:16]
    assert (version("granian")[:4], digest) == ("2.8.", "389f671ebf25564b")
