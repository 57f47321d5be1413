"""HTTP of images."""

from typing import Final
from uuid import UUID

from restwell.errors import NotFound
from restwell.web import (
    Controller,
    FromPath,
    Inject,
    Response,
    Upload,
    accepted,
    get,
    immutable,
    post,
    requires_role,
)
from shop.clients.models import Scope
from shop.images.schemas import ImageSize, ProductImage, ProductImageList
from shop.images.service import ImageService, TooManyImages

MAX_BYTES: Final = 10 * 2**20
WEBP: Final = "image/webp"


class ImageController(Controller):
    path = "/products/{product_id:uuid}/images"
    tags = ["Products"]
    images: ImageService

    @post(
        guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)],
        status_code=202,
        request_max_body_size=MAX_BYTES,
        timeout_seconds=60,
        errors=[TooManyImages],
    )
    async def upload_product_image(self, product_id: FromPath[UUID], upload: Inject[Upload]) -> Response[ProductImage]:
        """Add an image to a product.

        JPEG, PNG or WebP of at most 10 MiB and 40 million pixels, as a form with one part named `file`. Its sizes are made in the
        background: read the address in Location until its state is `ready` or `failed`. What else the file told, such as where it
        was taken, is thrown away.
        """
        image = await self.images.add(product_id, upload)
        return accepted(image, f"/v1/products/{product_id}/images/{image.id}")

    @get()
    async def list_product_images(self, product_id: FromPath[UUID]) -> ProductImageList:
        """List the images of a product, oldest first."""
        return await self.images.list_images(product_id)

    @get("/{image_id:uuid}")
    async def get_product_image(self, product_id: FromPath[UUID], image_id: FromPath[UUID]) -> ProductImage:
        """Read how far an image is, and where its sizes are."""
        return await self.images.get_image(product_id, image_id)

    @get("/{image_id:uuid}/{size:str}", media_type=WEBP)
    async def download_product_image(
        self, product_id: FromPath[UUID], image_id: FromPath[UUID], size: FromPath[str]
    ) -> Response[bytes]:
        """Read an image as WebP: `small` (160 pixels at most), `medium` (480) or `large` (1,200).

        It never changes, and may be kept for a year.
        """
        if size not in ImageSize.__members__.values():
            raise NotFound
        return immutable(await self.images.read(product_id, image_id, ImageSize(size)), WEBP)
