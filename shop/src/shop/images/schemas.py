from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from restwell.fields import Instant
from shop.images.models import ImageFailure, ImageState


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

    def at(self, path: str) -> "ProductImage":
        """The image with its URLs, below its own."""
        return replace(self, urls={size: f"{path}/{size}" for size in ImageSize if self.state == ImageState.READY})


class ProductImageList(Struct, frozen=True):
    items: list[ProductImage]
