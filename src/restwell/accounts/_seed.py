"""Inserts the demo accounts of a development database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select

from restwell.accounts._users.models import users
from restwell.auth import Passwords
from restwell.database import Database, insert_row, param, query
from restwell.email_addresses import EmailAddress
from restwell.ids import new_id

_any_user: Final = query("demo.user", select(users.c.id).where(users.c.email == param("email")), into=UUID)
_insert_user: Final = query("demo.insert_user", insert_row(users))


class SeedUser(Struct, frozen=True):
    """An account with a verified address."""

    email: str
    name: str
    role: str


async def seed_users(database: Database, seeds: Sequence[SeedUser], password: str) -> None:
    """Insert the users whose address has no account, all with this password. For development: runs no hooks."""
    missing = [seed for seed in seeds if await database.find(_any_user, email=seed.email) is None]
    if not missing:
        return
    now = datetime.now(UTC)
    passwords = Passwords()
    rows = [
        {
            "id": new_id(),
            "email": EmailAddress.parse(seed.email),
            "email_verified_at": now,
            "name": seed.name,
            "password_hash": await passwords.hash(password),
            "role": seed.role,
            "active": True,
            "created_at": now,
            "updated_at": now,
        }
        for seed in missing
    ]
    passwords.close()
    async with database.transaction() as tx:
        await tx.run_many(_insert_user, rows)
