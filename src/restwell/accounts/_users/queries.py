from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, null, select, update

from restwell.accounts._users.models import users
from restwell.database import insert_or_ignore, insert_row, page_query, param, query


class StoredUser(Struct, frozen=True):
    """``language``: a tag that was offered. ``profile``: the JSON document of the application's own fields."""

    id: UUID
    email: str
    email_verified: bool
    name: str
    role: str
    active: bool
    created_at: datetime
    updated_at: datetime
    language: str | None
    profile: str | None


class Credentials(Struct, frozen=True):
    id: UUID
    email: str
    email_verified: bool
    password_hash: str | None
    active: bool


_columns: Final = (
    users.c.id,
    users.c.email,
    users.c.email_verified_at.is_not(None).label("email_verified"),
    users.c.name,
    users.c.role,
    users.c.active,
    users.c.created_at,
    users.c.updated_at,
    users.c.language,
    users.c.profile,
)


_credentials: Final = select(
    users.c.id,
    users.c.email,
    users.c.email_verified_at.is_not(None).label("email_verified"),
    users.c.password_hash,
    users.c.active,
)
_credentials_by_id: Final = _credentials.where(users.c.id == param("user_id"))

credentials_by_email: Final = query(
    "users.credentials_by_email", _credentials.where(users.c.email == param("email")), into=Credentials
)

lock_credentials: Final = query(
    "users.lock_credentials",
    {"postgresql": _credentials_by_id.with_for_update(key_share=True), "sqlite": _credentials_by_id},
    into=Credentials,
)
"""Locks the row until the transaction ends, and reads its latest committed version."""

_profile_by_id: Final = select(users.c.profile).where(users.c.id == param("user_id"))

lock_profile: Final = query(
    "users.lock_profile",
    {"postgresql": _profile_by_id.with_for_update(key_share=True), "sqlite": _profile_by_id},
    into=str,
)
"""Locks the row until the transaction ends: otherwise one of two concurrent changes would be lost."""

password_of: Final = query(
    "users.password_of", select(users.c.password_hash).where(users.c.id == param("id")), into=str
)

_by_id: Final = select(*_columns).where(users.c.id == param("id"))
by_id: Final = query("users.by_id", _by_id, into=StoredUser, batch_on="id")

page: Final = page_query("users.page", select(*_columns), [users.c.id], StoredUser)

lock_of_directory: Final = query(
    "users.lock_of_directory",
    {"postgresql": _by_id.with_for_update(key_share=True), "sqlite": _by_id},
    into=StoredUser,
)
"""Locks the row until the transaction ends: it is compared with the directory, and changed if it differs."""
insert_of_directory: Final = query(
    "users.insert_of_directory",
    insert_or_ignore(
        users,
        email_verified_at=param("now"),
        password_hash=None,
        active=True,
        language=None,
        profile=None,
        created_at=param("now"),
        updated_at=param("now"),
    ),
)
update_of_directory: Final = query(
    "users.update_of_directory",
    update(users)
    .where(users.c.id == param("user_id"))
    .values(
        email=param("email"),
        email_verified_at=param("now"),
        name=param("name"),
        role=param("role"),
        active=True,
        updated_at=param("now"),
    ),
)
release_address: Final = query(
    "users.release_address",
    update(users)
    .where(users.c.id == param("user_id"))
    .values(email=param("email"), email_verified_at=null(), updated_at=param("now")),
)

insert_user: Final = query("users.insert", insert_row(users).returning(*_columns), into=StoredUser)

update_user: Final = query(
    "users.update",
    update(users)
    .where(users.c.id == param("user_id"))
    .values(
        name=func.coalesce(param("name"), users.c.name),
        role=func.coalesce(param("role"), users.c.role),
        active=func.coalesce(param("active"), users.c.active),
        language=func.coalesce(param("language"), users.c.language),
        profile=func.coalesce(param("profile"), users.c.profile),
        updated_at=param("now"),
    )
    .returning(*_columns),
    into=StoredUser,
)

set_password: Final = query(
    "users.set_password",
    update(users)
    .where(users.c.id == param("user_id"), users.c.password_hash == param("old_hash"))
    .values(password_hash=param("password_hash"), updated_at=param("now"))
    .returning(*_columns),
    into=StoredUser,
)

rehash_password: Final = query(
    "users.rehash_password",
    update(users).where(users.c.id == param("user_id")).values(password_hash=param("password_hash")),
)

reset_password: Final = query(
    "users.reset_password",
    update(users)
    .where(users.c.id == param("user_id"), users.c.active)
    .values(
        password_hash=param("password_hash"),
        email_verified_at=func.coalesce(users.c.email_verified_at, param("now")),
        updated_at=param("now"),
    ),
)

set_email: Final = query(
    "users.set_email",
    update(users)
    .where(users.c.id == param("user_id"), users.c.active)
    .values(email=param("email"), email_verified_at=param("now"), updated_at=param("now")),
)

anonymise: Final = query(
    "users.anonymise",
    update(users)
    .where(users.c.id == param("user_id"))
    .values(
        email=param("email"),
        email_verified_at=null(),
        name="Deleted user",
        language=null(),
        profile=null(),
        password_hash=null(),
        active=False,
        updated_at=param("now"),
    ),
)
