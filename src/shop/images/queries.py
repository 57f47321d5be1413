"""SQL of images."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import insert, select, update

from restwell.database import param, query
from shop.images.models import ImageState, product_images
from shop.products.models import products

MOST: Final = 20


class StoredImage(Struct, frozen=True):
    id: UUID
    product_id: UUID
    state: ImageState
    reason: str | None
    width: int | None
    height: int | None
    created_at: datetime


_shown: Final = tuple(product_images.c[name] for name in StoredImage.__struct_fields__)

product: Final = query("images.product", select(products.c.id).where(products.c.id == param("id")), into=UUID)
by_id: Final = query(
    "images.by_id", select(*_shown).where(product_images.c.id == param("id")), into=StoredImage, batch_on="id"
)
lock_product: Final = query(
    "images.lock_product", select(products.c.id).where(products.c.id == param("id")).with_for_update(), into=UUID
)
of_product: Final = query(
    "images.of_product",
    select(*_shown).where(product_images.c.product_id == param("product_id")).order_by(product_images.c.id).limit(MOST),
    into=StoredImage,
)
insert_image: Final = query(
    "images.insert",
    insert(product_images)
    .values({c.name: param(c.name) for c in product_images.columns if c.name in {"id", "product_id", "created_at"}})
    .values(state=ImageState.PENDING)
    .returning(*_shown),
    into=StoredImage,
)
finish: Final = query(
    "images.finish",
    update(product_images)
    .where(product_images.c.id == param("image_id"))
    .values({name: param(name) for name in ("state", "reason", "width", "height")}),
)
