"""The models and rules of the shop for the SQLAlchemy peers, on an AsyncSession."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

POOL = {"pool_size": 10, "max_overflow": 0}
LIST_SECONDS = 60


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), int: BigInteger}


class Product(Base):
    __tablename__ = "products"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    price_cents: Mapped[int]
    currency: Mapped[str]
    stock: Mapped[int]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class User(Base):
    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    email_verified_at: Mapped[datetime | None]
    name: Mapped[str]
    role: Mapped[str]
    active: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None


class Order(Base):
    __tablename__ = "orders"
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    total_cents: Mapped[int]
    currency: Mapped[str]
    created_at: Mapped[datetime]


class OrderItem(Base):
    __tablename__ = "order_lines"
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[UUID]
    name: Mapped[str]
    unit_price_cents: Mapped[int]
    quantity: Mapped[int]


class Key(Base):
    __tablename__ = "peer_keys"
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class Refused(Exception):
    """An error response: its message and status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def find_product(session: AsyncSession, product_id: UUID) -> Product:
    product = await session.get(Product, product_id)
    if product is None:
        raise Refused(404, "no such product")
    return product


async def find_user(session: AsyncSession, user_id: UUID) -> User:
    user = await session.get(User, user_id)
    if user is None or not user.active:
        raise Refused(401, "no such user")
    return user


async def page(
    session: AsyncSession, limit: int, category: str | None, cursor: str | None
) -> tuple[Sequence[Product], str | None]:
    newest = select(Product).order_by(Product.created_at.desc(), Product.id.desc()).limit(limit + 1)
    if category is not None:
        newest = newest.where(Product.category == category)
    if cursor is not None:
        time, last_id = json.loads(base64.urlsafe_b64decode(cursor))
        after = (datetime.fromisoformat(time), UUID(last_id))
        newest = newest.where(tuple_(Product.created_at, Product.id) < after)
    products = (await session.scalars(newest)).all()
    if len(products) <= limit:
        return products, None
    last = products[limit - 1]
    here = json.dumps([last.created_at.isoformat(), str(last.id)])
    return products[:limit], base64.urlsafe_b64encode(here.encode()).decode()


async def place(
    session: AsyncSession, user_id: UUID, key: str, wanted: Sequence[tuple[UUID, int]]
) -> tuple[dict[str, Any], bool]:
    """Place an order in one transaction. Returns whether it is new: a repeated key returns the existing order."""
    body_hash = hashlib.sha256(repr(wanted).encode()).digest()
    async with session.begin():
        hold = postgresql_insert(Key).values(user_id=user_id, key=key, body_hash=body_hash).on_conflict_do_nothing()
        held = await session.execute(hold.returning(Key.key))
        if held.first() is None:
            before = await session.get_one(Key, (user_id, key))
            if before.body_hash != body_hash or before.answer is None:
                raise Refused(422, "this key came with another body")
            return before.answer, False
        lines: list[dict[str, Any]] = []
        currency = ""
        for product_id, quantity in wanted:
            take = (
                update(Product)
                .where(Product.id == product_id, Product.stock >= quantity)
                .values(stock=Product.stock - quantity, version=Product.version + 1, updated_at=func.now())
                .returning(Product.name, Product.price_cents, Product.currency)
                .execution_options(synchronize_session=False)
            )
            taken = (await session.execute(take)).first()
            if taken is None:
                raise Refused(409, f"{product_id} is out of stock")
            name, price_cents, currency = taken
            lines.append(
                {"product_id": product_id, "name": name, "unit_price_cents": price_cents, "quantity": quantity}
            )
        order: dict[str, Any] = {
            "id": uuid7(),
            "status": "pending",
            "total_cents": sum(line["unit_price_cents"] * line["quantity"] for line in lines),
            "currency": currency,
            "created_at": datetime.now(UTC),
        }
        await session.execute(insert(Order).values(user_id=user_id, **order))
        stored = [{"user_id": user_id, "order_id": order["id"], "position": n, **line} for n, line in enumerate(lines)]
        await session.execute(insert(OrderItem), stored)
        answer = json.loads(json.dumps({**order, "items": lines}, default=str))
        answer["created_at"] = order["created_at"].isoformat()
        save_result = update(Key).where(Key.user_id == user_id, Key.key == key).values(answer=answer)
        await session.execute(save_result.execution_options(synchronize_session=False))
    return answer, True
