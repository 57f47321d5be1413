"""Streams are limited, and end with the session of their caller."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from graphql_app import Book
from grpc_app import Arrivals, create_app, pb
from grpc_client import failure, failure_of, token
from restwell import App
from restwell.grpc import _server
from restwell.settings import Settings
from tiny.app import USERS

Code = grpc.StatusCode
SENT = pb.WatchHiddenRequest()


@pytest.fixture
def library_app(grpc_settings: Settings) -> App:
    return create_app(grpc_settings, streams=3, streams_per_client=2)


async def opened(stub: Any, role: str) -> Any:
    """A stream that has sent its first message."""
    call = stub.WatchHidden(SENT, metadata=token(role))
    assert (await asyncio.wait_for(anext(aiter(call)), 20)).text == "first"
    return call


async def no_reader() -> None:
    async with asyncio.timeout(20):
        while Arrivals.readers:
            await asyncio.sleep(0.01)


async def test_the_guards_run_again_before_each_message(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a caller whose session has ended receives another message, or learns no reason.

    Breaks when the guards run only at the start.
    """
    call = await opened(stub, "guest")
    monkeypatch.delitem(USERS, "guest")
    Arrivals.books.put_nowait(Book(1, "second"))
    ended = await failure(call)
    assert (ended.code, ended.reason) == (Code.UNAUTHENTICATED, "UNAUTHORIZED")
    await no_reader()


async def test_a_stream_without_messages_ends_with_the_session(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a stream that waits is never asked again for its rights."""
    monkeypatch.setattr(_server, "CHECK_SECONDS", 0.02)
    call = await opened(stub, "guest")
    monkeypatch.delitem(USERS, "guest")
    assert (await asyncio.wait_for(failure(call), 20)).code == Code.UNAUTHENTICATED
    await no_reader()


async def test_open_streams_are_limited_for_each_client_and_in_all(
    stub: Any, channel: grpc.aio.Channel, client: httpx.AsyncClient
) -> None:
    """Fails without a limit: each stream holds memory, and may read the database each second.

    Breaks also when the place of a stream is not free again at its end, or when the health service is left out.
    """
    async with AsyncExitStack() as stack:
        for role in ("guest", "guest", "owner"):
            call = await opened(stub, role)
            stack.callback(call.cancel)
        refused = await failure(stub.WatchHidden(SENT, metadata=token("guest")))
        assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        refused = await failure(stub.WatchHidden(SENT, metadata=token("owner")))
        assert (refused.code, refused.reason, refused.retry_seconds) == (
            Code.RESOURCE_EXHAUSTED,
            "STREAMS_EXHAUSTED",
            1,
        )
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await watching.read()
        assert raised.value.code() == Code.RESOURCE_EXHAUSTED
        assert "restwell_grpc_streams 3.0" in (await client.get("/metrics")).text
        assert (await stub.GetBook(pb.GetBookRequest(book_id=1))).book.id == 1  # other calls are not limited
    await no_reader()
    (await opened(stub, "guest")).cancel()
    await no_reader()


async def test_a_stream_of_a_network_without_a_user_has_a_limit_too(stub: Any) -> None:
    """Fails if only users are counted: anyone could use up the streams of a process."""
    calls = [stub.WatchBooks(pb.WatchBooksRequest(kind="endless", count=1)) for _ in range(2)]
    for call in calls:
        assert (await call.read()).id == 0
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.WatchBooks(pb.WatchBooksRequest(kind="endless", count=1)).read()
    assert failure_of(raised.value).reason == "TOO_MANY_STREAMS"
    for call in calls:
        call.cancel()
