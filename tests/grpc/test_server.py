"""gRPC answers as the routes do: their guards, rate limits, idempotency keys, deadlines and problems."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from graphql_app import GUESSES
from grpc_app import Waited, create_app, pb, pb_grpc
from grpc_client import failure, failure_of, token
from restwell import App
from restwell.database import open_database, query
from restwell.edge._drain import Drain
from restwell.grpc import GrpcServer
from restwell.settings import (
    AppSettings,
    DatabaseSettings,
    GrpcSettings,
    RateLimitSettings,
    RequestSettings,
    Settings,
)
from restwell.testing import ApiClient, Caller, access_table, check_access, running
from servers import free_port

Code = grpc.StatusCode


async def test_a_method_reads_what_its_route_reads(stub: Any, client: httpx.AsyncClient) -> None:
    """Fails if a value, a default or a cursor differs from the route."""
    found = await stub.GetBook(pb.GetBookRequest(book_id=3))
    assert {"id": found.book.id, "text": found.book.text} == (await client.get("/books/3")).json()
    page = await stub.ListBooks(pb.ListBooksRequest())
    assert len(page.items) == 20
    first = await stub.ListBooks(pb.ListBooksRequest(limit=2, min_id=5))
    assert [each.id for each in first.items] == [5, 6]
    route = (await client.get("/books", params={"limit": 2, "min_id": 5, "cursor": first.next_cursor})).json()
    second = await stub.ListBooks(pb.ListBooksRequest(limit=2, min_id=5, cursor=first.next_cursor))
    assert [each.id for each in second.items] == [each["id"] for each in route["items"]] == [7, 8]
    assert (await stub.ListBooks(pb.ListBooksRequest(limit=100))).next_cursor == ""


async def test_problems_are_statuses_with_details(stub: Any, channel: grpc.aio.Channel) -> None:
    """Fails if a code, a field or the request id is missing, or if a value of an unexpected exception leaves."""
    missing = await failure(stub.GetBook(pb.GetBookRequest(book_id=999)))
    assert (missing.code, missing.reason) == (Code.NOT_FOUND, "NOT_FOUND")
    invalid = await failure(stub.ListBooks(pb.ListBooksRequest(limit=1000, min_id=-1)))
    assert (invalid.code, invalid.reason, sorted(invalid.fields)) == (
        Code.INVALID_ARGUMENT,
        "INVALID",
        ["limit", "min_id"],
    )
    sent = pb.AddReviewRequest(text="", book_ids=[1, 2, 3, 4])
    body = await failure(stub.AddReview(sent, metadata=token("owner", idempotency_key="a")))
    assert sorted(body.fields) == ["book_ids", "text"]
    cursor = await failure(stub.ListBooks(pb.ListBooksRequest(cursor="x")))
    assert cursor.reason == "INVALID_CURSOR"
    taken = await failure(
        stub.AddReview(pb.AddReviewRequest(text="taken"), metadata=token("owner", idempotency_key="b"))
    )
    assert (taken.code, taken.reason) == (Code.FAILED_PRECONDITION, "TAKEN")
    malformed = await failure(raw(channel, "GetBook", b"\xff\xff"))
    assert malformed.reason == "MALFORMED_REQUEST"
    with capture_logs() as lines:
        broken = await failure(stub.GetBroken(pb.GetBrokenRequest()))
    assert (broken.code, broken.reason) == (Code.INTERNAL, "INTERNAL_ERROR")
    assert "hunter2" not in str(broken)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unhandled_exception", "request"]


async def test_a_call_without_rights_is_refused_as_by_the_route(stub: Any) -> None:
    """Fails if guards do not run before the handler, or if a cookie or a second credential counts."""
    sent = pb.GetHiddenRequest()
    for metadata, code in (
        ((), Code.UNAUTHENTICATED),
        (token("unknown"), Code.UNAUTHENTICATED),
        (token("guest"), Code.PERMISSION_DENIED),
        ((*token("guest"), *token("owner")), Code.UNAUTHENTICATED),
        ((("cookie", "__Host-access_token=owner"),), Code.UNAUTHENTICATED),
    ):
        assert (await failure(stub.GetHidden(sent, metadata=metadata))).code == code, metadata
    found = await stub.GetHidden(sent, metadata=token("owner"))
    assert (found.role, len(found.user_id)) == ("owner", 36)


async def test_a_call_with_the_same_key_has_the_same_result_once(stub: Any, client: httpx.AsyncClient) -> None:
    """Fails if the key is not stored with the result, or is that of the route."""
    review = pb.AddReviewRequest(text="good", book_ids=[2, 1])
    calls = [stub.AddReview(review, metadata=token("owner", idempotency_key="k")) for _ in range(2)]
    first, again = [await each for each in calls]
    assert (first.id, first.text, list(first.book_ids)) == (31, "good", [2, 1])
    assert again == first
    replayed = [dict(await each.trailing_metadata()).get("idempotent-replayed") for each in calls]
    assert sorted(replayed, key=str) == [None, "true"]
    other = await failure(stub.AddReview(pb.AddReviewRequest(text="x"), metadata=token("owner", idempotency_key="k")))
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    route = await client.post(
        "/books/reviews", json={"text": "x"}, headers={"authorization": "Bearer owner", "idempotency-key": "k"}
    )
    assert route.json()["code"] == "idempotency_key_reused"
    assert (await failure(stub.AddReview(review, metadata=token("owner")))).reason == "IDEMPOTENCY_KEY_REQUIRED"


async def test_a_call_counts_as_a_request_to_its_route(grpc_settings: Settings, tmp_path: Path) -> None:
    """Fails if a client gains attempts by choosing gRPC."""
    limited = {"rate_limit": RateLimitSettings(), "runtime_dir": tmp_path / "alone"}  # others use the same rate
    app = create_app(grpc_settings.model_copy(update=limited))
    async with (
        running(app) as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{grpc_settings.grpc.port}") as channel,
    ):
        stub = pb_grpc.LibraryServiceStub(channel)
        for _ in range(GUESSES.count - 1):
            assert not (await stub.Guess(pb.GuessRequest(word="no"))).right
        assert (await client.get("/books/guess", params={"word": "hello"})).json() is True
        refused = await failure(stub.Guess(pb.GuessRequest(word="hello")))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.retry_seconds > 0
    assert "r=0" in refused.metadata["ratelimit"]


async def test_a_stream_has_its_items_and_the_status_of_a_failure(stub: Any) -> None:
    """Fails if a failure after the first item ends the stream as if it were complete."""
    for kind, code, reason in (
        ("conflict", Code.FAILED_PRECONDITION, "CONFLICT"),
        ("broken", Code.INTERNAL, "INTERNAL_ERROR"),
    ):
        found = []
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for each in stub.WatchBooks(pb.WatchBooksRequest(kind=kind, count=2)):
                found.append(each.id)  # noqa: PERF401  # what came before the failure
        assert found == [0, 1]
        error = failure_of(raised.value)
        assert (error.code, error.reason) == (code, reason)
        assert "hunter2" not in str(raised.value)
    assert [each.id async for each in stub.WatchBooks(pb.WatchBooksRequest())] == [0, 1, 2]


async def test_a_stream_that_its_client_leaves_is_closed(stub: Any, client: httpx.AsyncClient) -> None:
    """Fails if the generator of the handler goes on, or is left to the garbage collector."""
    for number, count in ((1, 3), (2, 2**31 - 1)):  # it waits, or has more than is sent
        call = stub.WatchBooks(pb.WatchBooksRequest(kind="endless", count=count))
        assert (await call.read()).id == 0
        call.cancel()
        await until(lambda expected=number: Waited.finished == expected)
    await until_metric(client, 'rpc_method="library.v1.LibraryService/WatchBooks",rpc_response_status_code="CANCELLED"')


@pytest.mark.slow
async def test_the_end_of_a_call_reaches_the_handler(stub: Any, client: httpx.AsyncClient) -> None:
    """Fails if a handler goes on after its client has left, or after the client's deadline."""
    call = stub.Wait(pb.WaitRequest(seconds=30))
    await until(lambda: Waited.began == 1)
    call.cancel()
    await until(lambda: Waited.cancelled == 1)
    assert (await failure(stub.Wait(pb.WaitRequest(seconds=30), timeout=0.3))).code == Code.DEADLINE_EXCEEDED
    await until(lambda: Waited.cancelled == 2)
    for code in ("CANCELLED", "DEADLINE_EXCEEDED"):
        await until_metric(client, f'rpc_method="library.v1.LibraryService/Wait",rpc_response_status_code="{code}"')


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_clients_deadline_reaches_the_database(empty_url: str, grpc_settings: Settings) -> None:
    """Fails if the statement of a call runs on in PostgreSQL after the deadline, or after its client has left."""
    database = DatabaseSettings(url=SecretStr(empty_url))
    app = create_app(grpc_settings.model_copy(update={"database": database}))
    active = query(
        "test.active",
        text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid != pg_backend_pid()"
        ),
        into=int,
    )
    async with open_database(empty_url) as observer:
        await app.migrations.upgrade(observer)
        async with running(app), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_settings.grpc.port}") as channel:
            stub = pb_grpc.LibraryServiceStub(channel)
            for timeout in (1.0, None):
                call = stub.Wait(pb.WaitRequest(), timeout=timeout)
                while not await observer.one(active):
                    await asyncio.sleep(0.02)
                if timeout is None:
                    call.cancel()
                began = time.monotonic()
                while await observer.one(active):
                    await asyncio.sleep(0.02)
                    assert time.monotonic() - began < 4, "the statement runs on"


@pytest.mark.slow
async def test_a_slow_call_ends_at_the_deadline_of_the_server(grpc_settings: Settings) -> None:
    """Fails if only deadlines of clients end a call. It is not UNAVAILABLE, after which a client may repeat it."""
    app = create_app(grpc_settings.model_copy(update={"request": RequestSettings(timeout_seconds=0.5)}))
    async with running(app), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_settings.grpc.port}") as channel:
        late = await failure(pb_grpc.LibraryServiceStub(channel).Wait(pb.WaitRequest(seconds=30)))
    assert (late.code, late.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_calls_are_logged_counted_and_traced(
    stub: Any, client: httpx.AsyncClient, channel: grpc.aio.Channel, library_app: App
) -> None:
    """Fails if a call, also one of an unknown method, leaves no line, no metric or no trace."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with capture_logs() as lines:
        metadata = (*token("owner"), ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"))
        await stub.GetHidden(pb.GetHiddenRequest(), metadata=metadata)
        unknown = await failure(raw(channel, "Missing", b""))
    assert (unknown.code, unknown.reason) == (Code.UNIMPLEMENTED, "METHOD_NOT_ALLOWED")
    first, second = [line for line in lines if line["event"] == "request"]
    assert first["route"] == first["path"] == "/library.v1.LibraryService/GetHidden"
    assert (first["status"], first["client"], first["trace_id"]) == (200, "127.0.0.1", trace)
    assert first["user_id"] is not None
    assert (second["status"], second["route"]) == (405, None)
    metrics = (await client.get("/metrics")).text
    for method, code in (("library.v1.LibraryService/GetHidden", "OK"), ("_OTHER", "UNIMPLEMENTED")):
        labels = f'rpc_method="{method}",rpc_response_status_code="{code}"'
        assert f"rpc_server_call_duration_seconds_count{{{labels}}} 1.0" in metrics
    assert not library_app.query_budget.violations


@pytest.mark.slow
async def test_a_request_above_the_limit_is_refused(grpc_settings: Settings) -> None:
    app = create_app(grpc_settings.model_copy(update={"request": RequestSettings(max_bytes=1_024)}))
    async with running(app), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_settings.grpc.port}") as channel:
        stub = pb_grpc.LibraryServiceStub(channel)
        assert (await failure(stub.Guess(pb.GuessRequest(word="x" * 2_000)))).code == Code.RESOURCE_EXHAUSTED


@pytest.mark.slow
async def test_health_follows_the_drain_and_the_stop_ends_streams(
    library_app: App, channel: grpc.aio.Channel, stub: Any
) -> None:
    """Fails if a stopping server is said to be healthy, waits for endless streams, or loses a call in progress."""
    checks = health_pb2_grpc.HealthStub(channel)
    for service in ("", "library.v1.LibraryService"):
        found = await checks.Check(health_pb2.HealthCheckRequest(service=service))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    watching = checks.Watch(health_pb2.HealthCheckRequest(service=""))
    assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
    endless = stub.WatchBooks(pb.WatchBooksRequest(kind="endless", count=1))
    assert (await endless.read()).id == 0
    in_progress = stub.Wait(pb.WaitRequest(seconds=0.5))
    await until(lambda: Waited.began == 1)
    library_app._edge.hook(Drain).begin()
    now = await asyncio.wait_for(watching.read(), 20)
    assert now.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await stub.GetBook(pb.GetBookRequest(book_id=1))).book.id == 1
    began = time.monotonic()
    with capture_logs() as lines:
        await library_app.kit.close()
    assert 0.3 < time.monotonic() - began < 4
    assert await in_progress == pb.WaitResponse()
    for stream in (endless, watching):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        assert raised.value.code() == Code.UNAVAILABLE, "clients open it again, and it is no success"
    assert not [line for line in lines if line["log_level"] == "error"]
    assert (await failure(stub.GetBook(pb.GetBookRequest(book_id=1), timeout=1))).code == Code.UNAVAILABLE


async def test_services_are_described_outside_of_production(channel: grpc.aio.Channel, grpc_settings: Settings) -> None:
    """Fails if a client in production learns the schema."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for threads only
    sent = [reflection_pb2.ServerReflectionRequest(list_services="")]
    answers = [each async for each in stub.ServerReflectionInfo(iter(sent))]
    names = {each.name for each in answers[0].list_services_response.service}
    assert {"library.v1.LibraryService", "grpc.health.v1.Health"} <= names
    production = grpc_settings.model_copy(update={"app": AppSettings(env="production")})
    assert not production.has_reflection
    assert production.model_copy(update={"grpc": GrpcSettings(reflection="on")}).has_reflection
    port = free_port()
    hidden = create_app(production.model_copy(update={"grpc": GrpcSettings(port=port)}))
    async with running(hidden), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as other:
        hidden_stub: Any = reflection_pb2_grpc.ServerReflectionStub(other)  # type: ignore[arg-type]  # as above
        asked = hidden_stub.ServerReflectionInfo(iter(sent))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asked.read()
    assert raised.value.code() == Code.UNIMPLEMENTED


async def test_without_a_port_nothing_listens(migrated: Settings) -> None:
    app = create_app(migrated)
    async with running(app):
        assert app.service(GrpcServer).port == 0
    await app.service(GrpcServer).close()


async def test_an_access_table_has_a_line_for_each_method(library_app: App, client: httpx.AsyncClient) -> None:
    """Fails if a method has no line, or if one that refuses a caller is not called."""
    table = access_table(library_app)
    lines = {tuple(line.split(None, 2)) for line in table.splitlines() if line.startswith("RPC")}
    assert ("RPC", "/library.v1.LibraryService/GetHidden", "owner") in lines
    assert ("RPC", "/library.v1.LibraryService/AddReview", "signed in") in lines
    assert ("RPC", "/library.v1.LibraryService/GetBook", "anyone") in lines
    callers = [Caller(ApiClient(client, role), role=role) for role in ("owner", "guest")]
    await check_access(library_app, table, callers)
    wrong = table.replace("GetHidden    owner", "GetHidden    signed in")
    with pytest.raises(AssertionError, match="differences"):
        await check_access(library_app, wrong.replace("owner", "guest"), callers)


async def test_an_address_that_it_cannot_listen_on_stops_the_start(grpc_settings: Settings) -> None:
    settings = grpc_settings.model_copy(update={"host": "203.0.113.1"})
    with pytest.raises(RuntimeError, match=r"203\.0\.113\.1"):
        async with running(create_app(settings)):
            pass


def raw(channel: Any, method: str, data: bytes) -> Any:
    return channel.unary_unary(f"/library.v1.LibraryService/{method}")(data)


async def until(ready: Any) -> None:
    for _ in range(500):
        if ready():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within five seconds")


async def until_metric(client: httpx.AsyncClient, labels: str) -> None:
    for _ in range(100):
        if f"rpc_server_call_duration_seconds_count{{{labels}}}" in (await client.get("/metrics")).text:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no call was counted with {labels}")
