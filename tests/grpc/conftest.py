"""The library over gRPC: 30 books, and a client of its services."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from graphql_app import fill
from grpc_app import Waited, create_app, pb_grpc
from restwell import App
from restwell.database import open_database
from restwell.settings import GrpcSettings, LogSettings, Settings
from restwell.testing import running
from servers import free_port


@pytest.fixture
async def grpc_settings(migrated: Settings) -> Settings:
    async with open_database(migrated.database.url.get_secret_value()) as database:
        await database.run_many(fill, [{"text": f"book {number}"} for number in range(1, 31)])
    return migrated.model_copy(
        update={"grpc": GrpcSettings(port=free_port()), "log": LogSettings(format="pretty")}  # for capture_logs
    )


@pytest.fixture
def library_app(grpc_settings: Settings) -> App:
    Waited.began = Waited.cancelled = Waited.finished = 0
    return create_app(grpc_settings)


@pytest.fixture
async def client(library_app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(library_app) as client:
        yield client


@pytest.fixture
async def channel(client: httpx.AsyncClient, grpc_settings: Settings) -> AsyncIterator[grpc.aio.Channel]:  # noqa: ARG001  # the server runs
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_settings.grpc.port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return pb_grpc.LibraryServiceStub(channel)
