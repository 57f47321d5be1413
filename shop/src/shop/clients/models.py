"""Table of OAuth clients. Only a hash of the secret is stored."""

from enum import StrEnum
from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata


class Scope(StrEnum):
    """Scopes of OAuth clients."""

    ORDERS_READ = "orders:read"
    PRODUCTS_WRITE = "products:write"
    JOBS_MANAGE = "jobs:manage"
    EVENTS_READ = "events:read"


SCOPES: Final[dict[str, str]] = {
    Scope.ORDERS_READ: "Read the orders of all users.",
    Scope.PRODUCTS_WRITE: "Create, update and delete products and their images.",
    Scope.JOBS_MANAGE: "Read, retry, cancel and discard jobs.",
    Scope.EVENTS_READ: "Read the security events of all users.",
}

clients = Table(
    "clients",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),  # space-separated
    Column("created_by", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Index("clients_by_creator", "created_by"),
)
