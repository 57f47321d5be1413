"""A stopping server drains: it asks for no new requests, closes connections with its answers, and loses no request."""

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest

from environments import migrated, wait_for_exit
from servers import RESTWELL, Served, serving

pytestmark = pytest.mark.integration

DRAIN_SECONDS = 4


@pytest.fixture
async def slow(tmp_path: Path) -> dict[str, str]:
    environment = await migrated(tmp_path / "app.db", "tiny.slow")
    return {**environment, "REQUEST_TIMEOUT_SECONDS": "30", "DRAIN_SECONDS": str(DRAIN_SECONDS), "WORKERS": "2"}


async def answers(served: Served, path: str, count: int = 12) -> set[tuple[int, str]]:
    """Status and Connection field of the answers on ``count`` new connections, of which each worker gets some."""
    found = set()
    async with httpx.AsyncClient(base_url=served.url, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for _ in range(count):
            answer = await client.get(path)
            found.add((answer.status_code, answer.headers.get("connection", "")))
    return found


async def test_a_server_drains_before_it_stops_accepting(slow: dict[str, str], tmp_path: Path) -> None:
    """Fails without the drain: the server refuses connections at once, and closes idle ones without an answer."""
    async with (
        serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **slow) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as kept,
    ):
        assert await answers(served, "/health/ready") == {(200, "")}
        assert (await kept.get("/v1/slow/wait/0")).status_code == 200
        waiting = asyncio.create_task(kept.get("/v1/slow/wait/6"))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert await answers(served, "/health/ready") == {(503, "close")}
        assert await answers(served, "/health/live") == {(200, "close")}
        assert await answers(served, "/v1/slow/wait/0") == {(200, "close")}
        assert await answers(served, "/missing") == {(404, "close")}
        answer = await kept.get("/v1/slow/wait/0")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert time.monotonic() - began < DRAIN_SECONDS, "too slow a machine for this test"
        in_progress = await waiting
        assert (in_progress.status_code, in_progress.headers["connection"]) == (200, "close")
        assert await wait_for_exit(served.process, 20) == 0
        with pytest.raises(httpx.ConnectError):
            await answers(served, "/health/live")


async def test_a_second_signal_ends_the_drain(slow: dict[str, str], tmp_path: Path) -> None:
    """Fails if the second signal waits for the end of the drain."""
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **{**slow, "DRAIN_SECONDS": "60"}) as served:
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.4)
        assert (await answers(served, "/health/live", 1)) == {(200, "close")}
        served.process.send_signal(signal.SIGTERM)
        assert await wait_for_exit(served.process, 10) == 0


async def test_an_event_stream_ends_when_its_client_leaves_and_when_the_server_drains(
    slow: dict[str, str], tmp_path: Path
) -> None:
    """Seen to fail: its generator waited for ever, and the server was killed 30 s after the signal."""
    slow["WORKERS"] = "1"
    async with (
        serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **slow) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):

        async def count(expected: int) -> None:
            while (await client.get("/v1/slow/open")).json() != expected:
                await asyncio.sleep(0.05)

        async with client.stream("GET", "/v1/slow/events") as events:
            chunks = events.aiter_raw()
            assert await anext(chunks) == b"data: first\n\n"
            await asyncio.wait_for(count(1), 20)
        await asyncio.wait_for(count(0), 20)
        async with client.stream("GET", "/v1/slow/events") as events:
            chunks = events.aiter_raw()
            await anext(chunks)
            served.process.send_signal(signal.SIGTERM)
            assert [chunk async for chunk in chunks] == [], "the response is complete"
        assert await wait_for_exit(served.process, 20) == 0
