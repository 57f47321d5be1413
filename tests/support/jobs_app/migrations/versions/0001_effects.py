"""Effects of jobs (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Text

from restwell.database import Id

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("effects", Column("job_id", Id, nullable=False), Column("note", Text, nullable=False))
