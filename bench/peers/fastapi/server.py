"""FastAPI like its template: SQLAlchemy's async ORM on asyncpg, Pydantic, PyJWT, slowapi, Redis and arq, on uvicorn."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import arq
import jwt
import redis.asyncio as redis
import uvicorn
from arq.connections import RedisSettings
from asgi_middleware import Duties
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from shop_orm import LIST_SECONDS, POOL, Refused, find_product, find_user, page, place
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

SECRET = os.environ["JWT_SECRET"]


class Model(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Product(Model):
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


class ProductPage(Model):
    items: list[Product]
    next_cursor: str | None


class User(Model):
    id: UUID
    email: str
    email_verified: bool
    name: str
    role: str
    active: bool
    created_at: datetime
    updated_at: datetime


class OrderItemRequest(BaseModel, extra="forbid"):
    product_id: UUID
    quantity: Annotated[int, Field(ge=1, le=10_000)]


class OrderCreateRequest(BaseModel, extra="forbid"):
    items: Annotated[list[OrderItemRequest], Field(min_length=1, max_length=50)]


class OrderItem(BaseModel):
    product_id: UUID
    name: str
    unit_price_cents: int
    quantity: int


class Order(BaseModel):
    id: UUID
    status: str
    items: list[OrderItem]
    total_cents: int
    currency: str
    created_at: datetime


class ListQuery(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    category: Annotated[str, Field(pattern="^[a-z0-9-]{1,50}$")] | None = None
    cursor: Annotated[str, Field(max_length=200)] | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), **POOL)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.cache = redis.from_url(os.environ["REDIS_URL"]) if os.environ["CACHE"] == "on" else None
    app.state.jobs = await arq.create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.state.limiter = Limiter(get_remote_address, default_limits=["1000000000/minute"], headers_enabled=True)
app.add_middleware(SlowAPIASGIMiddleware)
app.add_middleware(Duties)


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


def signed_in(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> UUID:
    try:
        claims = jwt.decode(sent.credentials, SECRET, algorithms=["HS256"], issuer="shop", audience="shop")
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "bad token") from error
    return UUID(claims["sub"])


Session = Annotated[AsyncSession, Depends(session_of)]
Caller = Annotated[UUID, Depends(signed_in)]


@app.exception_handler(Refused)
async def refused(_: Request, error: Refused) -> Response:
    body = {"status": error.status, "detail": error.detail}
    return JSONResponse(body, error.status, media_type="application/problem+json")


async def answer_kept(cache: Any, key: str, load: Callable[[], Awaitable[BaseModel]]) -> Response:
    body = await cache.get(key)
    if body is None:
        body = (await load()).model_dump_json().encode()
        await cache.setex(key, LIST_SECONDS, body)
    return Response(body, media_type="application/json")


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/products", response_model=ProductPage)
async def list_products(request: Request, session: Session, asked: Annotated[ListQuery, Depends()]) -> Any:
    async def load() -> ProductPage:
        items, cursor = await page(session, asked.limit, asked.category, asked.cursor)
        return ProductPage.model_validate({"items": items, "next_cursor": cursor})

    if request.app.state.cache is None:
        return await load()
    key = f"products:{asked.limit}:{asked.category}:{asked.cursor}"
    return await answer_kept(request.app.state.cache, key, load)


@app.get("/v1/products/{product_id}", response_model=Product)
async def get_product(request: Request, session: Session, product_id: UUID) -> Any:
    async def load() -> Product:
        return Product.model_validate(await find_product(session, product_id))

    if request.app.state.cache is None:
        return await load()
    return await answer_kept(request.app.state.cache, f"product:{product_id}", load)


@app.get("/v1/users/me", response_model=User)
async def own_account(session: Session, caller: Caller) -> Any:
    return await find_user(session, caller)


@app.post("/v1/orders", response_model=Order, status_code=201)
async def place_order(
    request: Request,
    session: Session,
    caller: Caller,
    draft: OrderCreateRequest,
    idempotency_key: Annotated[str, Header()],
) -> Any:
    wanted = [(line.product_id, line.quantity) for line in draft.items]
    order, is_new = await place(session, caller, idempotency_key, wanted)
    if is_new:
        await request.app.state.jobs.enqueue_job("settle", str(caller), order["id"])
    return order


if __name__ == "__main__":
    uvicorn.run(
        "server:app",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        access_log=False,
        log_level="warning",
    )
