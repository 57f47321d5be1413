from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import case, null, select, update

from restwell.database import any_of, columns_of, insert_row, param, query
from restwell.jobs import is_unfinished
from restwell.retention import BATCH
from shop.images.models import ImageFailure, ImageState, product_images

MAX_IMAGES: Final = 20


class StoredImage(Struct, frozen=True):
    id: UUID
    product_id: UUID
    state: ImageState
    failure_code: ImageFailure | None
    reason: str | None
    width: int | None
    height: int | None
    created_at: datetime


_stored: Final = product_images.c.state
_abandoned: Final = (_stored == ImageState.PENDING.value) & ~is_unfinished(product_images.c.job_id)
"""The job ended without finishing the image: it is dead or was cancelled."""
_columns: Final = columns_of(
    product_images,
    StoredImage,
    state=case((_abandoned, ImageState.FAILED.value), else_=_stored),
    failure_code=case(
        (_abandoned, ImageFailure.PROCESSING_FAILED.value),
        (_stored == ImageState.FAILED.value, ImageFailure.DAMAGED_IMAGE.value),
    ),
)

by_id: Final = query(
    "images.by_id", select(*_columns).where(product_images.c.id == param("id")), into=StoredImage, batch_on="id"
)
of_product: Final = query(
    "images.of_product",
    select(*_columns)
    .where(product_images.c.product_id == param("product_id"))
    .order_by(product_images.c.id)
    .limit(MAX_IMAGES),
    into=StoredImage,
)
insert_image: Final = query(
    "images.insert",
    insert_row(product_images, ("id", "product_id", "job_id", "created_at"), state=ImageState.PENDING).returning(
        *columns_of(product_images, StoredImage, failure_code=null())
    ),
    into=StoredImage,
)
finish: Final = query(
    "images.finish",
    update(product_images)
    .where(product_images.c.id == param("image_id"))
    .values({name: param(name) for name in ("state", "reason", "width", "height")}),
)
existing: Final = query(
    "images.existing", select(product_images.c.id).where(any_of(product_images.c.id, "ids")).limit(BATCH), into=UUID
)
