"""gRPC of a server with several worker processes: they share the port, and drain and reload without a failed call."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from environments import migrated, wait_for_exit
from grpc_app import pb, pb_grpc
from processes import children_of
from servers import RESTWELL, ROOT, Served, free_port, serving

pytestmark = pytest.mark.integration

RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}
"""The service config of docs/grpc.md."""
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.service_config", json.dumps(RETRIES))]


@asynccontextmanager
async def library(folder: Path, **more: str) -> AsyncIterator[tuple[Served, str]]:
    """A server with two workers, and the address of its gRPC."""
    environment = {**await migrated(folder / "app.db", "tiny.app"), "RESTWELL_APP": "grpc_app:project"}
    port = free_port()
    environment |= {"WORKERS": "2", "GRPC_PORT": str(port), "REQUEST_TIMEOUT_SECONDS": "30", **more}
    async with serving(folder, RESTWELL, "serve", cwd=folder, **environment) as served:
        yield served, f"127.0.0.1:{port}"


async def call(stub: Any) -> int:
    """The process that answers."""
    found: int = (await stub.GetWorker(pb.GetWorkerRequest(), timeout=20)).process
    return found


def test_the_guide_has_the_retries_of_these_tests() -> None:
    assert json.dumps(RETRIES) in " ".join((ROOT / "docs/grpc.md").read_text().split())


async def test_workers_share_the_port_and_are_replaced_without_a_failed_call(tmp_path: Path) -> None:
    """Fails if only one worker listens, if the server is created before the fork, or if a reload drops calls.

    The clients repeat calls: the library fails those that arrive while it stops, before the handler has begun.
    """
    async with library(tmp_path, DRAIN_SECONDS="0.5") as (served, address):
        processes = set()
        for _ in range(40):
            async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
                processes.add(await call(pb_grpc.LibraryServiceStub(channel)))
        before = set(children_of(served.process.pid))
        assert len(processes) == 2
        assert processes <= before
        stopping = asyncio.Event()
        answered: set[int] = set()

        async def caller() -> None:
            async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
                stub = pb_grpc.LibraryServiceStub(channel)
                while not stopping.is_set():
                    answered.add(await call(stub))

        callers = [asyncio.create_task(caller()) for _ in range(4)]
        served.process.send_signal(signal.SIGHUP)
        for _ in range(600):
            if answered - processes and not processes & set(children_of(served.process.pid)):
                break
            await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.gather(*callers)
        assert processes & answered, "nothing was called before the reload"
        assert answered - processes, "nothing was called after the reload"
        assert not processes & set(children_of(served.process.pid))


async def test_a_stopping_server_answers_during_the_drain_and_finishes_calls(tmp_path: Path) -> None:
    """Fails if SIGTERM ends calls in progress, or if new calls fail before the drain is over."""
    async with (
        library(tmp_path, DRAIN_SECONDS="1.5") as (served, address),
        grpc.aio.insecure_channel(address, options=OPTIONS) as channel,
    ):
        stub = pb_grpc.LibraryServiceStub(channel)
        await call(stub)
        waiting = asyncio.ensure_future(stub.Wait(pb.WaitRequest(seconds=2.5)))
        await asyncio.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        await call(stub)
        assert await waiting == pb.WaitResponse()
        assert await wait_for_exit(served.process, 20) == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetWorker(pb.GetWorkerRequest(), timeout=1)


async def test_a_port_in_use_is_refused_at_start(tmp_path: Path) -> None:
    """Fails if two servers share the port of gRPC without a word, because of SO_REUSEPORT."""
    async with library(tmp_path) as (_, address):
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(AssertionError, match="choose another with GRPC_PORT="):
            async with library(other, GRPC_PORT=address.partition(":")[2]):
                pass
