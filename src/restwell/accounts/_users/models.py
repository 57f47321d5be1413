"""Table of users."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Table, Text, select

from restwell.accounts._metadata import metadata
from restwell.database import Flag, Id, Timestamp

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("email", Text, nullable=False),  # canonical: restwell.email_addresses
    Column("email_verified_at", Timestamp),  # null until the address is verified
    Column("name", Text, nullable=False),
    Column("password_hash", Text),  # null without a password, and for deleted accounts
    Column("role", Text, nullable=False),  # one of the application's roles
    Column("active", Flag, nullable=False),
    Column("language", Text),  # a tag (BCP 47) that the application offers; null: its default
    Column("profile", Text),  # JSON: the application's own fields, as far as they are set
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("users_email", "email", unique=True),
)

user_access: Final = select(users.c.id, users.c.role, users.c.active).subquery("user_access")
"""For joins of other parts: whether a user may sign in, and with which role."""


def user_key() -> ForeignKey:
    """Return a foreign key to an account, for a column of the application."""
    return ForeignKey(users.c.id)
