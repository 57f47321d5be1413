"""Litestar with SQLAlchemyPlugin on asyncpg, JWTAuth, its response cache in Redis, SAQ and msgspec, on Granian."""

import os
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin,
)
from asgi_middleware import Duties, RateLimit
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server
from litestar import Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.params import Parameter
from litestar.security.jwt import JWTAuth, Token
from litestar.stores.base import Store
from litestar.stores.redis import RedisStore
from msgspec import Meta, Struct, convert
from saq import Queue
from shop_orm import LIST_SECONDS, POOL, Refused, find_product, find_user, page, place
from sqlalchemy.ext.asyncio import AsyncSession

CACHE = LIST_SECONDS if os.environ["CACHE"] == "on" else False


class Product(Struct):
    id: UUID
    name: str
    description: str
    category: str
    price_cents: int
    currency: str
    stock: int
    version: int
    created_at: datetime
    updated_at: datetime


class ProductPage(Struct):
    items: list[Product]
    next_cursor: str | None


class User(Struct):
    id: UUID
    email: str
    email_verified: bool
    name: str
    role: str
    active: bool
    created_at: datetime
    updated_at: datetime


class OrderItemRequest(Struct, forbid_unknown_fields=True):
    product_id: UUID
    quantity: Annotated[int, Meta(ge=1, le=10_000)]


class OrderCreateRequest(Struct, forbid_unknown_fields=True):
    items: Annotated[list[OrderItemRequest], Meta(min_length=1, max_length=50)]


@get("/health/ready", sync_to_thread=False)
def ready() -> dict[str, str]:
    return {"status": "ok"}


@get("/v1/products", cache=CACHE)
async def list_products(
    db_session: AsyncSession,
    limit: Annotated[int, Parameter(ge=1, le=100)] = 20,
    category: Annotated[str, Parameter(pattern="^[a-z0-9-]{1,50}$")] | None = None,
    after: Annotated[str | None, Parameter(query="cursor", max_length=200)] = None,
) -> ProductPage:
    items, cursor = await page(db_session, limit, category, after)
    return ProductPage(convert(items, list[Product], from_attributes=True), cursor)


@get("/v1/products/{product_id:uuid}", cache=CACHE)
async def get_product(db_session: AsyncSession, product_id: UUID) -> Product:
    return convert(await find_product(db_session, product_id), Product, from_attributes=True)


@get("/v1/users/me")
async def own_account(db_session: AsyncSession, request: Request[UUID, Token, Any]) -> User:
    return convert(await find_user(db_session, request.user), User, from_attributes=True)


@post("/v1/orders")
async def place_order(
    db_session: AsyncSession,
    request: Request[UUID, Token, Any],
    data: OrderCreateRequest,
    idempotency_key: Annotated[str, Parameter(header="Idempotency-Key")],
) -> dict[str, Any]:
    wanted = [(line.product_id, line.quantity) for line in data.items]
    order, is_new = await place(db_session, request.user, idempotency_key, wanted)
    if is_new:
        await request.app.state.jobs.enqueue("settle", user_id=str(request.user), order_id=order["id"])
    return order


async def user_of(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> UUID:
    return UUID(token.sub)


def refused(_: Request[Any, Any, Any], error: Refused) -> Response[dict[str, Any]]:
    body = {"status": error.status, "detail": error.detail}
    return Response(body, status_code=error.status, media_type="application/problem+json")


async def open_jobs(app: Litestar) -> None:
    app.state.jobs = Queue.from_url(os.environ["REDIS_URL"], name="orders")
    await app.state.jobs.connect()


stores: dict[str, Store] = {}
if CACHE:
    stores["response_cache"] = RedisStore.with_client(os.environ["REDIS_URL"])

app = Litestar(
    [ready, list_products, get_product, own_account, place_order],
    plugins=[
        SQLAlchemyPlugin(
            SQLAlchemyAsyncConfig(
                connection_string=os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
                engine_config=EngineConfig(**POOL),
                session_config=AsyncSessionConfig(expire_on_commit=False),
            )
        )
    ],
    on_app_init=[
        JWTAuth[UUID, Token](
            retrieve_user_handler=user_of,
            token_secret=os.environ["JWT_SECRET"],
            accepted_audiences=["shop"],
            accepted_issuers=["shop"],
            exclude=["^/v1/products", "^/health", "^/schema"],
        ).on_app_init
    ],
    exception_handlers={Refused: refused},
    middleware=[Duties, RateLimit],
    on_startup=[open_jobs],
    stores=stores,
    openapi_config=None,
)

if __name__ == "__main__":
    Server(
        "server:app",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()
