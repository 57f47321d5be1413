from uuid import UUID

from restwell.jobs import JobContext, job
from shop.images.thumbnails import ThumbnailBuilder


@job(queue="images", max_attempts=3, timeout_seconds=60)
async def make_thumbnails(context: JobContext, image_id: UUID) -> None:
    await context.get(ThumbnailBuilder).build(context, image_id)
