"""Product images (pre-deploy)."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, Text

from restwell.database import Id, Timestamp

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "product_images",
        Column("id", Id, primary_key=True),
        Column("product_id", Id, ForeignKey("products.id", ondelete="CASCADE"), nullable=False),
        Column("job_id", Id, nullable=False),
        Column("state", Text, nullable=False),
        Column("reason", Text),
        Column("width", Integer),
        Column("height", Integer),
        Column("created_at", Timestamp, nullable=False),
        CheckConstraint("state IN ('pending', 'ready', 'failed')", name="product_images_state"),
    )
    op.create_index("product_images_by_product", "product_images", ["product_id", "id"])
