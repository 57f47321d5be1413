import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import convert
from msgspec.structs import asdict

from restwell.database import Database
from restwell.errors import Conflict, FieldError, Invalid, NotFound
from restwell.files import Files
from restwell.ids import new_id
from restwell.jobs import Jobs
from restwell.retention import OwnsFolder
from restwell.web import Upload
from shop.images import queries
from shop.images.jobs import make_thumbnails
from shop.images.models import ImageState
from shop.images.queries import MAX_IMAGES, StoredImage
from shop.images.render import InvalidImage, check
from shop.images.schemas import ImageSize, ProductImage
from shop.images.thumbnails import size_name, upload_name
from shop.products.service import ProductService


class TooManyImages(Conflict):
    code, message = "too_many_images", f"A product has at most {MAX_IMAGES} images."


class ImageService(OwnsFolder):
    folder = "images"

    def __init__(self, database: Database, jobs: Jobs, files: Files, products: ProductService) -> None:
        self._database = database
        self._products = products
        self._jobs = jobs
        self._files = files

    async def add(self, product_id: UUID, upload: Upload) -> ProductImage:
        """Store an upload and enqueue its resizing. Raises NotFound, TooManyImages, Invalid.

        The file is written before the row is inserted. The nightly cleanup deletes files without a row.
        """
        await self._products.get_product(product_id)
        try:
            await asyncio.to_thread(check, upload.content)
        except InvalidImage as error:
            raise Invalid(errors=[FieldError("file", str(error))]) from None
        image_id = new_id()
        await self._files.write(upload_name(image_id), upload.content)
        async with self._database.transaction() as tx:
            await self._products.lock_in(tx, product_id)
            if len(await tx.all(queries.of_product, product_id=product_id)) >= MAX_IMAGES:
                raise TooManyImages
            job_id = await self._jobs.enqueue(tx, make_thumbnails, image_id=image_id)
            new = {"id": image_id, "product_id": product_id, "job_id": job_id, "created_at": datetime.now(UTC)}
            image = await tx.one(queries.insert_image, **new)
        return _to_schema(image)

    async def list_images(self, product_id: UUID) -> list[ProductImage]:
        """Return the images of a product, oldest first. Raises NotFound."""
        await self._products.get_product(product_id)
        return [_to_schema(image) for image in await self._database.all(queries.of_product, product_id=product_id)]

    async def get_image(self, product_id: UUID, image_id: UUID) -> ProductImage:
        return _to_schema(await self._find(product_id, image_id))

    async def read(self, product_id: UUID, image_id: UUID, size: ImageSize) -> bytes:
        """Return one size as WebP. Raises NotFound unless the image is ready."""
        image = await self._find(product_id, image_id)
        if image.state != ImageState.READY:
            raise NotFound
        try:
            return await self._files.read(size_name(image_id, size))
        except FileNotFoundError:
            raise NotFound from None

    async def find_existing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of at most BATCH ids that belong to an image."""
        return await self._database.primary.all(queries.existing, ids=ids)

    async def _find(self, product_id: UUID, image_id: UUID) -> StoredImage:
        image = await self._database.find(queries.by_id, id=image_id)
        if image is None or image.product_id != product_id:
            raise NotFound
        return image


def _to_schema(image: StoredImage) -> ProductImage:
    return convert({**asdict(image), "urls": {}}, ProductImage)
