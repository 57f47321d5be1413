"""Table of product images. The image data is stored in files."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata


class ImageState(StrEnum):
    """``pending`` until the job has created all sizes (``ready``) or has ended without success (``failed``)."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class ImageFailure(StrEnum):
    DAMAGED_IMAGE = "damaged_image"
    PROCESSING_FAILED = "processing_failed"


product_images = Table(
    "product_images",
    metadata,
    Column("id", Id, primary_key=True),
    Column("product_id", Id, ForeignKey("products.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", Id, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('pending', 'ready', 'failed')", name="product_images_state"),
        nullable=False,
    ),
    Column("reason", Text),  # the error message, if it failed
    Column("width", Integer),  # of the upload in pixels, after EXIF rotation
    Column("height", Integer),
    Column("created_at", Timestamp, nullable=False),
    Index("product_images_by_product", "product_id", "id"),
)
