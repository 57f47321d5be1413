from contextlib import suppress
from typing import Final
from uuid import UUID

from restwell.database import Database
from restwell.files import Files
from restwell.jobs import JobContext
from shop.images import queries
from shop.images.models import ImageState
from shop.images.render import InvalidImage, Rendered, render
from shop.images.schemas import ImageSize

EDGES: Final = {ImageSize.SMALL: 160, ImageSize.MEDIUM: 480, ImageSize.LARGE: 1_200}
"""The longest side of each size, in pixels."""


class ThumbnailBuilder:
    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files

    async def build(self, context: JobContext, image_id: UUID) -> None:
        """Write all sizes, mark the image as ready or failed, and delete the upload with its metadata. Idempotent."""
        image = await self._database.primary.find(queries.by_id, id=image_id)
        if image is None or image.state != ImageState.PENDING:
            return
        upload = upload_name(image_id)
        rendered: Rendered | None = None
        reason = None
        try:
            edges = {size.value: edge for size, edge in EDGES.items()}
            rendered = await context.run_in_process(render, str(self._files.path(upload)), edges)
            for size, content in rendered.versions.items():
                await self._files.write(size_name(image_id, ImageSize(size)), content)
        except InvalidImage as error:
            reason = str(error)
        async with context.completion() as tx:
            await tx.run(
                queries.finish,
                image_id=image_id,
                state=ImageState.FAILED if rendered is None else ImageState.READY,
                reason=reason,
                width=rendered.width if rendered is not None else None,
                height=rendered.height if rendered is not None else None,
            )
        with suppress(OSError):  # the nightly cleanup deletes it
            await self._files.delete(upload)


def upload_name(image_id: UUID) -> str:
    return f"images/{image_id}/upload"


def size_name(image_id: UUID, size: ImageSize) -> str:
    return f"images/{image_id}/{size}.webp"
