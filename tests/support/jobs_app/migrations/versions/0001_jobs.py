"""Jobs and their effects (pre-deploy)."""

from alembic import op
from sqlalchemy.schema import CreateIndex, CreateTable

from jobs_harness import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    for table in metadata.sorted_tables:
        op.execute(CreateTable(table))
        for index in table.indexes:
            op.execute(CreateIndex(index))
