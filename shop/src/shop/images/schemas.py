from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from shop.images.models import ImageFailure, ImageState
from shop.schema import Instant


class ImageSize(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class ProductImage(Struct, frozen=True):
    """``urls`` has one URL per size if the image is ready. ``failure_code`` and ``reason`` are set if it failed."""

    id: UUID
    state: ImageState
    failure_code: ImageFailure | None
    reason: str | None
    width: Annotated[int, Meta(examples=[3_000])] | None
    height: Annotated[int, Meta(examples=[2_000])] | None
    urls: dict[ImageSize, str]
    created_at: Instant


class ProductImageList(Struct, frozen=True):
    items: list[ProductImage]
