from typing import Final
from uuid import UUID

from restwell.errors import NotFound
from restwell.web import Controller, Request, Response, Upload, accepted, get, immutable, post, requires_role
from shop.access import Scope
from shop.images.schemas import ImageSize, ProductImage, ProductImageList
from shop.images.service import ImageService, TooManyImages

MAX_BYTES: Final = 10 * 2**20
WEBP: Final = "image/webp"


class ImageController(Controller):
    path = "/products/{product_id}/images"
    tags = ["Products"]

    @post(
        guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)],
        status_code=202,
        max_body_bytes=MAX_BYTES,
        timeout_seconds=60,
        raises=[TooManyImages],
    )
    async def upload_product_image(
        self, product_id: UUID, upload: Upload, images: ImageService
    ) -> Response[ProductImage]:
        """Upload a product image.

        Send JPEG, PNG or WebP of at most 10 MiB and 40 million pixels as `multipart/form-data` with one part named
        `file`. A background job creates the sizes: poll the URL in `Location` until `state` is `ready` or `failed`.
        Metadata, such as the GPS position, is removed.
        """
        image = await images.add(product_id, upload)
        return accepted(image, image.id)

    @get()
    async def list_product_images(self, request: Request, product_id: UUID, images: ImageService) -> ProductImageList:
        """List product images, oldest first.

        An image has URLs once its sizes are made.
        """
        found = await images.list_images(product_id)
        return ProductImageList([image.at(f"{request.path}/{image.id}") for image in found])

    @get("/{image_id}")
    async def get_product_image(
        self, request: Request, product_id: UUID, image_id: UUID, images: ImageService
    ) -> ProductImage:
        """Retrieve a product image.

        Poll it after an upload, until its sizes are made.
        """
        return (await images.get_image(product_id, image_id)).at(request.path)

    @get("/{image_id}/{size}", media_type=WEBP)
    async def download_product_image(
        self, product_id: UUID, image_id: UUID, size: str, images: ImageService
    ) -> Response[bytes]:
        """Download a product image.

        Returns WebP. `size` is the longest side: `small` (160 pixels), `medium` (480) or `large` (1,200). The response
        is immutable and can be cached for a year.
        """
        if size not in ImageSize.__members__.values():
            raise NotFound
        return immutable(await images.read(product_id, image_id, ImageSize(size)), WEBP)
