"""Jobs of images."""

from uuid import UUID

from restwell.jobs import Run, job
from shop.images.thumbnails import Thumbnails


@job(queue="images", max_attempts=3, timeout_seconds=60)
async def make_thumbnails(run: Run, image_id: UUID) -> None:
    await run.get(Thumbnails).make(run, image_id)
