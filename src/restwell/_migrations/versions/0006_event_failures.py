"""The failed attempts at the next event of a consumer (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("inbox_positions", Column("attempts", Integer, nullable=False, server_default="0"))
    op.add_column("inbox_positions", Column("error", Text, nullable=False, server_default=""))
