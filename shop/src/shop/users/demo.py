"""Writes the demo accounts of a development database."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select

from restwell.auth import Passwords
from restwell.database import Database, insert_row, param, query
from shop.users.models import users

_any_user: Final = query("demo.user", select(users.c.id).where(users.c.email == param("email")), into=UUID)
_insert_user: Final = query("demo.insert_user", insert_row(users))


async def insert_users(database: Database, rows: Sequence[dict[str, Any]], password: str) -> None:
    """Insert the users whose address has no account, with this password."""
    missing = [row for row in rows if await database.find(_any_user, email=row["email"]) is None]
    if not missing:
        return
    passwords = Passwords()
    new = [row | {"password_hash": await passwords.hash(password)} for row in missing]
    passwords.close()
    async with database.transaction() as tx:
        await tx.run_many(_insert_user, new)
