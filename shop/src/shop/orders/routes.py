from uuid import UUID

from restwell.auth import Actor
from restwell.database import Transaction
from restwell.errors import InvalidCursor
from restwell.pages import Page, PageFilter
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    created,
    get,
    idempotent,
    paged,
    post,
    signed_in,
    signed_in_or_scope,
)
from shop.access import Scope
from shop.orders.schemas import MAX_LINES, Order, OrderCreateRequest
from shop.orders.service import OrderService
from shop.products.stock import OutOfStock


class OrderController(Controller):
    path = "/orders"
    tags = ["Orders"]
    orders: OrderService

    @post(guards=[signed_in], query_budget={"products.reserve_stock": MAX_LINES}, errors=[OutOfStock])
    @idempotent
    async def create_order(
        self, data: JSONBody[OrderCreateRequest], actor: Inject[Actor], tx: Transaction
    ) -> Response[Order]:
        """Create an order.

        Reserves the stock of all items, or of none, at current prices. The payment is settled in the background. Retry
        with the same `Idempotency-Key` to avoid a duplicate order.
        """
        order = await self.orders.place(tx, actor, data)
        return created(order, f"/v1/orders/{order.id}")

    @get(guards=[signed_in_or_scope(Scope.ORDERS_READ)], errors=[InvalidCursor])
    async def list_orders(
        self, request: ApiRequest, actor: Inject[Actor], filters: Inject[PageFilter]
    ) -> Response[Page[Order]]:
        """List orders, newest first.

        Customers see their own orders. Admins, and OAuth clients with the scope `orders:read`, see all orders.
        """
        return paged(request, await self.orders.list_orders(actor, filters))

    @get("/{order_id:uuid}", guards=[signed_in_or_scope(Scope.ORDERS_READ)])
    async def get_order(self, order_id: FromPath[UUID], actor: Inject[Actor]) -> Order:
        """Retrieve an order."""
        return await self.orders.get_order(actor, order_id)

    @post(
        "/{order_id:uuid}/cancellation",
        status_code=200,
        guards=[signed_in],
        query_budget={"products.release_stock": MAX_LINES, "orders.of_user_by_id": 2, "orders.by_id": 2},
    )
    async def cancel_order(self, order_id: FromPath[UUID], actor: Inject[Actor]) -> Order:
        """Cancel an order.

        Releases the stock and refunds the payment. Idempotent: cancelling again has no effect. An order whose payment
        was declined stays `failed`.
        """
        return await self.orders.cancel(actor, order_id)
