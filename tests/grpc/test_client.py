"""A client of another service: errors by type, deadlines that shrink, repeats, and a circuit breaker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from grpc_app import Waited, create_app, pb, pb_grpc
from restwell.errors import AppError, Invalid, NotFound, ServiceUnavailable
from restwell.grpc import GrpcClient
from restwell.observability._trace import Trace, current, new_ids
from restwell.settings import Settings
from restwell.testing import FaultProxy, running

Connect = Callable[..., GrpcClient]


@pytest.fixture
async def connect(client: httpx.AsyncClient, grpc_settings: Settings) -> AsyncIterator[Connect]:  # noqa: ARG001  # the server runs
    opened: list[GrpcClient] = []

    def new(*, role: str = "owner", port: int | None = grpc_settings.grpc.port, **options: Any) -> GrpcClient:
        opened.append(GrpcClient(pb_grpc.LibraryServiceStub, f"grpc://{role}@127.0.0.1:{port}", **options))
        return opened[-1]

    yield new
    for each in opened:
        await each.close()


async def failure(client: GrpcClient, method: str = "GetBook", message: Any = None) -> AppError:
    with pytest.raises(AppError) as raised:
        await client.call(method, message or pb.GetBookRequest(book_id=1))
    return raised.value


async def test_a_call_returns_the_response_or_raises_a_named_error(connect: Connect) -> None:
    """Fails if an error loses its type, its text or its fields, or if one that is not named is passed on: the 403 of
    this service at another is none for its own caller.
    """
    library = connect(errors=[Invalid, NotFound])
    assert (await library.call("GetBook", pb.GetBookRequest(book_id=3))).book.id == 3
    assert (await library.call("GetHidden", pb.GetHiddenRequest())).role == "owner"
    missing = await failure(library, message=pb.GetBookRequest(book_id=999))
    assert (type(missing), missing.detail) == (NotFound, NotFound.message)
    invalid = await failure(library, "ListBooks", pb.ListBooksRequest(limit=1_000))
    assert type(invalid) is Invalid
    assert [each.path for each in invalid.errors] == ["$.limit"]
    with capture_logs() as lines:
        refused = await failure(connect(role="guest"), "GetHidden", pb.GetHiddenRequest())
    assert type(refused) is ServiceUnavailable
    (line,) = [line for line in lines if line["event"] == "grpc_call_failed"]
    assert (line["method"], line["code"], line["problem"]) == ("GetHidden", "PERMISSION_DENIED", "forbidden")


async def test_a_handler_has_no_more_time_than_its_caller_and_continues_the_trace(connect: Connect) -> None:
    """Fails if the deadline is not sent, is longer than what the request has left, or does not bind what the handler
    calls itself; or if the call begins another trace.
    """
    library = connect(timeout_seconds=4.0)
    await library.call("Wait", pb.WaitRequest())
    assert Waited.remaining is not None
    assert 0 < Waited.remaining <= 4.1
    trace = Trace(*new_ids())
    trace.deadline = time.perf_counter() + 3.0
    current.set((trace, trace.span_id, None))
    try:
        await library.call("Wait", pb.WaitRequest())
        assert 0 < Waited.remaining <= 3.1  # the library rounds up
        assert Waited.trace_id == trace.trace_id
        trace.deadline = time.perf_counter() - 1.0
        assert type(await failure(library)) is ServiceUnavailable
    finally:
        current.set(None)


@asynccontextmanager
async def through_a_proxy(
    connect: Connect, settings: Settings, **options: Any
) -> AsyncIterator[tuple[Any, GrpcClient]]:
    assert settings.grpc.port is not None
    async with FaultProxy(settings.grpc.port) as proxy:
        library = connect(port=proxy.port, **options)
        await library.call("GetBook", pb.GetBookRequest(book_id=1))
        yield proxy, library
        await library.close()


async def test_only_a_call_that_is_safe_to_repeat_is_repeated(connect: Connect, grpc_settings: Settings) -> None:
    """The answer is lost after the service has done its work. Fails if the call is never or always repeated."""
    async with through_a_proxy(connect, grpc_settings, idempotent=True) as (proxy, library):
        proxy.responses_to_lose = 1
        assert (await library.call("GetBook", pb.GetBookRequest(book_id=2))).book.id == 2
        assert proxy.accepted == 2
    async with through_a_proxy(connect, grpc_settings) as (proxy, library):
        proxy.responses_to_lose = 1
        assert type(await failure(library)) is ServiceUnavailable


async def test_calls_of_a_service_that_hangs_fail_at_once_until_it_answers(
    connect: Connect, grpc_settings: Settings
) -> None:
    """Fails without the circuit breaker: each call waits for its timeout. Fails too if the breaker stays open."""
    async with through_a_proxy(connect, grpc_settings, timeout_seconds=0.4) as (proxy, library):
        proxy.stall()
        began = time.monotonic()
        for _ in range(50):
            assert type(await failure(library)) is ServiceUnavailable
        assert time.monotonic() - began < 50 * 0.4 / 2
        proxy.resume()
        ends = time.monotonic() + 60
        while True:
            try:
                await library.call("GetBook", pb.GetBookRequest(book_id=1))
                break
            except ServiceUnavailable:
                assert time.monotonic() < ends, "the breaker stays open"
                await asyncio.sleep(0.1)


async def test_a_client_connects_again_to_a_service_that_was_restarted(grpc_settings: Settings) -> None:
    """Also after ``close``. Fails if the channel of the earlier server is used for ever."""
    library = GrpcClient(
        pb_grpc.LibraryServiceStub, f"grpc://127.0.0.1:{grpc_settings.grpc.port}", timeout_seconds=30, idempotent=True
    )
    for _ in range(2):
        async with running(create_app(grpc_settings)):
            assert (await library.call("GetBook", pb.GetBookRequest(book_id=1))).book.id == 1
        assert type(await failure(library)) is ServiceUnavailable
        await library.close()
    await library.close()


async def test_a_client_with_tls_refuses_a_service_without(grpc_settings: Settings, connect: Connect) -> None:
    """Fails if the token is sent without encryption."""
    assert connect is not None
    library = GrpcClient(pb_grpc.LibraryServiceStub, f"grpcs://owner@127.0.0.1:{grpc_settings.grpc.port}")
    assert type(await failure(library)) is ServiceUnavailable
    await library.close()


@pytest.mark.parametrize("url", ["http://h:1", "grpc://h", "grpc://:1", "h:1", "grpc://h:x"])
def test_another_url_is_an_error(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of the library for a wrong port
        GrpcClient(pb_grpc.LibraryServiceStub, url)
