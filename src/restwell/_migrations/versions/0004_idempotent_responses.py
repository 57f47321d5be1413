"""Complete responses of idempotent requests (pre-deploy).

Existing rows are responses with status 201 and no header fields; their target is unknown.
"""

from alembic import op
from sqlalchemy import Column, Integer, LargeBinary, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("idempotency_keys", Column("target", Text, nullable=False, server_default=""))
    op.add_column("idempotency_keys", Column("status", Integer, nullable=False, server_default="201"))
    op.add_column("idempotency_keys", Column("headers", LargeBinary, nullable=False, server_default="{}"))
