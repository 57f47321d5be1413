"""What is stored of a machine client: a hash of its secret, never the secret."""

from enum import StrEnum
from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata


class Scope(StrEnum):
    """What a machine client may be allowed."""

    ORDERS_READ = "orders:read"
    PRODUCTS_WRITE = "products:write"
    JOBS_MANAGE = "jobs:manage"
    EVENTS_READ = "events:read"


SCOPES: Final[dict[str, str]] = {
    Scope.ORDERS_READ: "Read everyone's orders.",
    Scope.PRODUCTS_WRITE: "Add, change and remove products and their images.",
    Scope.JOBS_MANAGE: "Read, retry, cancel and discard jobs.",
    Scope.EVENTS_READ: "Read everyone's security events.",
}

clients = Table(
    "clients",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),  # with spaces between them
    Column("created_by", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Index("clients_by_creator", "created_by"),
)
