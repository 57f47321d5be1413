"""The stock of a catalogue that is another service (``CATALOGUE_URL``)."""

from collections.abc import Mapping
from uuid import UUID

from restwell.database import Transaction
from restwell.errors import Invalid
from restwell.grpc import GrpcClient
from restwell.jobs import JobContext, Jobs, job
from shop.products.stock import OutOfStock, ReservationExpired, ReservedItem, StockService
from shop.v1 import stock_pb2 as pb
from shop.v1.stock_pb2_grpc import StockServiceStub


class StockClient:
    """The methods of ``shop.v1.StockService``. Each is idempotent by the id of the order, and may be repeated."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._grpc = GrpcClient(
            StockServiceStub,
            url,
            timeout_seconds=timeout_seconds,
            errors=[Invalid, OutOfStock, ReservationExpired],
            idempotent=True,
        )

    async def reserve(self, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:
        """Raises OutOfStock, Invalid, ServiceUnavailable; after the last, it may be reserved until it expires."""
        items = [pb.StockItem(product_id=str(each), quantity=quantity) for each, quantity in quantities.items()]
        reserved = await self._grpc.call("ReserveStock", pb.ReserveStockRequest(order_id=str(order_id), items=items))
        return [
            ReservedItem(UUID(each.product_id), each.quantity, each.name, each.unit_price_cents, each.currency)
            for each in reserved.items
        ]

    async def confirm(self, order_id: UUID) -> None:
        """Raises ReservationExpired, ServiceUnavailable."""
        await self._grpc.call("ConfirmStock", pb.ConfirmStockRequest(order_id=str(order_id)))

    async def release(self, order_id: UUID) -> None:
        """Raises ServiceUnavailable."""
        await self._grpc.call("ReleaseStock", pb.ReleaseStockRequest(order_id=str(order_id)))

    async def close(self) -> None:
        await self._grpc.close()


class RemoteStock(StockService):
    """An order that is not stored leaves a reservation, which expires. One that is stored is settled by jobs."""

    def __init__(self, client: StockClient, jobs: Jobs) -> None:
        self._client = client
        self._jobs = jobs

    async def reserve(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> list[ReservedItem]:  # noqa: ARG002  # the signature of StockService
        return await self._client.reserve(order_id, quantities)

    async def confirm(self, order_id: UUID) -> None:
        await self._client.confirm(order_id)

    async def release(self, tx: Transaction, order_id: UUID, quantities: Mapping[UUID, int]) -> None:  # noqa: ARG002  # as above
        await self._jobs.enqueue(tx, release_stock, order_id=order_id)


@job(queue="payments", max_attempts=60, timeout_seconds=60)  # for more than a day
async def release_stock(context: JobContext, order_id: UUID) -> None:
    await context.get(StockClient).release(order_id)
