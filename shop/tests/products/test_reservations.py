"""Reservations of stock over gRPC, for the orders of another service: once by order, and until they expire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import grpc
import pytest
from sqlalchemy import update

from api_client import Json
from grpc_client import Failure, failure, token
from restwell import App
from restwell.database import param, query
from restwell.ids import new_id
from restwell.settings import GrpcSettings
from restwell.testing import ApiClient, finish_jobs
from servers import free_port
from shop.access import Scope
from shop.products.models import reservations
from shop.products.reservations import RESERVED_FOR, Reservations, release_expired_reservations
from shop.products.stock import OutOfStock
from shop.settings import ShopSettings
from shop.v1 import stock_pb2 as pb
from shop.v1.stock_pb2_grpc import StockServiceStub
from shop_client import ShopClient, product_with
from two_services import stock_key

Code: Final = grpc.StatusCode
MISSING: Final = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
Stub: Any = StockServiceStub
_expire_all: Final = query("test.expire", update(reservations).values(expires_at=param("at")))


@pytest.fixture
def settings(settings: ShopSettings) -> ShopSettings:
    return settings.model_copy(update={"grpc": GrpcSettings(port=free_port())})


class Stock:
    """The methods, with the key of a service."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._stub = Stub(channel)
        self._metadata = token(key)

    def reserve(self, order_id: str, *lines: tuple[str, int]) -> Any:
        items = [pb.StockItem(product_id=product_id, quantity=quantity) for product_id, quantity in lines]
        return self._stub.ReserveStock(pb.ReserveStockRequest(order_id=order_id, items=items), metadata=self._metadata)

    def confirm(self, order_id: str) -> Any:
        return self._stub.ConfirmStock(pb.ConfirmStockRequest(order_id=order_id), metadata=self._metadata)

    def release(self, order_id: str) -> Any:
        return self._stub.ReleaseStock(pb.ReleaseStockRequest(order_id=order_id), metadata=self._metadata)


@pytest.fixture
async def channel(anyone: ShopClient, settings: ShopSettings) -> AsyncIterator[grpc.aio.Channel]:  # noqa: ARG001  # the server runs
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc.port}") as channel:
        yield channel


@pytest.fixture
async def stock(channel: grpc.aio.Channel, admin: ShopClient) -> Stock:
    return Stock(channel, await stock_key(admin))


async def expire(app: App, after: timedelta = 2 * RESERVED_FOR) -> None:
    await app.service(Reservations).release_expired(datetime.now(UTC) + after)


@pytest.mark.slow
async def test_a_repeated_reservation_of_an_order_takes_its_stock_once(stock: Stock, admin: ShopClient) -> None:
    """Fails if the id of the order is not stored with the stock: each repeat takes stock again."""
    lamp, chair = await product_with(admin, 9, name="Lamp"), await product_with(admin, 9, name="Chair")
    order_id = str(new_id())
    lines = ((lamp["id"], 2), (chair["id"], 3))
    found = await asyncio.gather(*(stock.reserve(order_id, *lines) for _ in range(5)))
    await admin.send("PATCH", f"/v1/products/{lamp['id']}", {"name": "Dear", "price_cents": 9_999}, if_match="*")
    found.append(await stock.reserve(order_id, *lines))
    assert [(each.name, each.quantity) for each in found[0].items] == [("Lamp", 2), ("Chair", 3)]
    assert {each.unit_price_cents for each in found[0].items} == {1_500}
    assert all(each == found[0] for each in found), "the items as they were reserved"
    assert (await admin.stock_of(lamp), await admin.stock_of(chair)) == (7, 6)
    for _ in range(2):
        await stock.release(order_id)
        await stock.release(str(new_id()))
    assert (await admin.stock_of(lamp), await admin.stock_of(chair)) == (9, 9)


async def test_a_reservation_that_fails_takes_nothing_and_may_be_tried_again(stock: Stock, admin: ShopClient) -> None:
    """Fails if the stock of the first product stays reserved, or if the order then counts as reserved."""
    plenty, rare = await product_with(admin, 50), await product_with(admin, 1, name="Rare Lamp")
    dollars, order_id = await product_with(admin, 5, currency="USD"), str(new_id())

    async def refused(*lines: tuple[str, int]) -> Failure:
        return await failure(stock.reserve(order_id, (plenty["id"], 5), *lines))

    found = await refused((rare["id"], 2))
    assert (found.code, found.reason) == (Code.FAILED_PRECONDITION, OutOfStock.code.upper())
    assert found.fields == ["items[1].product_id"]
    for wrong in ((MISSING, 1), (dollars["id"], 1), (rare["id"], 0)):
        assert (await refused(wrong)).code == Code.INVALID_ARGUMENT, wrong
    assert [await admin.stock_of(each) for each in (plenty, rare, dollars)] == [50, 1, 5]
    reserved = await stock.reserve(order_id, (plenty["id"], 5), (rare["id"], 1))
    assert [each.product_id for each in reserved.items] == [plenty["id"], rare["id"]]
    assert [await admin.stock_of(each) for each in (plenty, rare)] == [45, 0]


@pytest.mark.slow
async def test_what_is_not_confirmed_in_time_is_released_and_cannot_be_confirmed(
    app: App, stock: Stock, admin: ShopClient
) -> None:
    """Fails if a confirmed reservation expires, if another does not, or if one that has expired is confirmed."""
    product, (kept, lost) = await product_with(admin, 9), (str(new_id()), str(new_id()))
    await stock.reserve(kept, (product["id"], 2))
    await stock.reserve(lost, (product["id"], 3))
    await expire(app, RESERVED_FOR - timedelta(minutes=5))
    assert await admin.stock_of(product) == 4
    for _ in range(2):
        await stock.confirm(kept)
    await expire(app)
    assert await admin.stock_of(product) == 7
    for unknown in (lost, str(new_id())):
        found = await failure(stock.confirm(unknown))
        assert (found.code, found.reason) == (Code.FAILED_PRECONDITION, "RESERVATION_EXPIRED")
    await stock.release(kept)
    assert await admin.stock_of(product) == 9


@pytest.mark.slow
async def test_concurrent_reservations_confirmations_and_expiries_keep_each_unit(
    app: App, stock: Stock, admin: ShopClient
) -> None:
    """Fails if what is confirmed while it expires is released too: its unit is then sold twice."""
    product = await product_with(admin, 20)
    orders = [str(new_id()) for _ in range(30)]

    async def order(order_id: str) -> str | None:
        with suppress(grpc.aio.AioRpcError):  # sold out, expired, or overloaded on a busy machine
            await stock.reserve(order_id, (product["id"], 1))
            await stock.confirm(order_id)
            return order_id
        return None

    confirmed, _ = await asyncio.gather(
        asyncio.gather(*map(order, orders)), asyncio.gather(*(expire(app) for _ in range(5)))
    )
    await expire(app)
    sold = [each for each in confirmed if each is not None]
    assert await admin.stock_of(product) == 20 - len(sold)
    for each in sold:
        await stock.release(each)
    assert await admin.stock_of(product) == 20


async def test_a_job_releases_what_has_expired(app: App, stock: Stock, admin: ShopClient) -> None:
    """Fails if the job is not that of an application with products, or calls nothing."""
    assert release_expired_reservations.cron is not None
    product = await product_with(admin, 5)
    await stock.reserve(str(new_id()), (product["id"], 5))
    async with app.kit.database.transaction() as tx:
        await tx.run(_expire_all, at=datetime.now(UTC) - timedelta(minutes=1))
        await app.kit.jobs.enqueue(tx, release_expired_reservations)
    await finish_jobs(app)
    assert await admin.stock_of(product) == 5


@pytest.mark.slow
async def test_only_services_and_admins_reserve_stock(
    channel: grpc.aio.Channel, customer: ShopClient, admin: ShopClient, anyone: ShopClient
) -> None:
    """Fails without the guard, or if the key of a customer has the rights of its scope."""
    client: Json = (await admin.post("/v1/clients", {"name": "m", "scopes": [Scope.STOCK_RESERVE]})).json()
    machine = await ApiClient(anyone.client).use_client_credentials(client["id"], client["secret"])
    for credentials, code in (
        ("unknown", Code.UNAUTHENTICATED),
        (customer.tokens["access_token"], Code.PERMISSION_DENIED),
        (await stock_key(customer), Code.PERMISSION_DENIED),
        (machine.tokens["access_token"], Code.FAILED_PRECONDITION),
        (admin.tokens["access_token"], Code.FAILED_PRECONDITION),
    ):
        found = await failure(Stock(channel, credentials).confirm(str(UUID(int=1))))
        assert found.code == code
