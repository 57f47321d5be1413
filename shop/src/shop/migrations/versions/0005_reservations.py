"""Reservations of stock (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, Text

from restwell.database import Id, Timestamp

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "reservations",
        Column("id", Id, primary_key=True),
        Column("lines", Text, nullable=False),
        Column("expires_at", Timestamp),
    )
    op.create_index("reservations_by_expiry", "reservations", ["expires_at"])
