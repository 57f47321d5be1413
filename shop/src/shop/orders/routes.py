from uuid import UUID

from restwell.auth import Actor
from restwell.pages import Page, PageFilter
from restwell.web import Controller, Response, created, get, post, signed_in, signed_in_or_scope
from shop.access import Scope
from shop.orders.schemas import MAX_LINES, Order, OrderCreateRequest
from shop.orders.service import OrderService
from shop.products.stock import OutOfStock


class OrderController(Controller):
    path = "/orders"
    tags = ["Orders"]

    @post(guards=[signed_in], query_budget={"products.reserve_stock": MAX_LINES}, raises=[OutOfStock], idempotent=True)
    async def create_order(self, data: OrderCreateRequest, actor: Actor, orders: OrderService) -> Response[Order]:
        """Create an order.

        Reserves the stock of all items, or of none, at current prices. The payment is settled in the background. Retry
        with the same `Idempotency-Key` to avoid a duplicate order.
        """
        order = await orders.place(actor, data)
        return created(order, order.id)

    @get(guards=[signed_in_or_scope(Scope.ORDERS_READ)])
    async def list_orders(self, actor: Actor, filters: PageFilter, orders: OrderService) -> Page[Order]:
        """List orders, newest first.

        Customers see their own orders. Admins, and OAuth clients with the scope `orders:read`, see all orders.
        """
        return await orders.list_orders(actor, filters)

    @get("/{order_id}", guards=[signed_in_or_scope(Scope.ORDERS_READ)])
    async def get_order(self, order_id: UUID, actor: Actor, orders: OrderService) -> Order:
        """Retrieve an order."""
        return await orders.get_order(actor, order_id)

    @post(
        "/{order_id}/cancellation",
        status_code=200,
        guards=[signed_in],
        query_budget={
            "products.release_stock": MAX_LINES,
            "orders.of_user_by_id": 2,
            "orders.by_id": 2,
            "jobs.insert": 2,
        },
    )
    async def cancel_order(self, order_id: UUID, actor: Actor, orders: OrderService) -> Order:
        """Cancel an order.

        Releases the stock and refunds the payment. Idempotent: cancelling again has no effect. An order whose payment
        was declined stays `failed`.
        """
        return await orders.cancel(actor, order_id)
