from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update

from restwell.database import param, query
from shop.email_verifications.models import email_verifications
from shop.password_resets.models import password_resets
from shop.users.models import users


class ResetRecipient(Struct, frozen=True):
    id: UUID
    email: str


by_email: Final = query(
    "password_resets.by_email",
    select(users.c.id, users.c.email).where(users.c.email == param("email"), users.c.active),
    into=ResetRecipient,
)
insert_reset: Final = query(
    "password_resets.insert",
    insert(password_resets).values(
        {name: param(name) for name in ("code_hash", "user_id", "expires_at")} | {"used_at": None}
    ),
)
use: Final = query(
    "password_resets.use",
    update(password_resets)
    .where(
        password_resets.c.code_hash == param("match_hash"),
        password_resets.c.used_at.is_(None),
        password_resets.c.expires_at > param("now"),
    )
    .values(used_at=param("now"))
    .returning(password_resets.c.user_id),
    into=UUID,
)
revoke_unused: Final = query(
    "password_resets.revoke_unused",
    update(password_resets)
    .where(password_resets.c.user_id == param("match_user_id"), password_resets.c.used_at.is_(None))
    .values(used_at=param("now")),
)
is_email_verified: Final = query(
    "password_resets.is_email_verified",
    select(users.c.email_verified_at.is_not(None).label("verified")).where(users.c.id == param("id"), users.c.active),
    into=bool,
)
set_password_hash: Final = query(
    "password_resets.set_password_hash",
    update(users)
    .where(users.c.id == param("user_id"), users.c.active)
    .values(
        password_hash=param("password_hash"),
        email_verified_at=func.coalesce(users.c.email_verified_at, param("now")),
        updated_at=param("now"),
    ),
)

delete_email_verifications: Final = query(
    "password_resets.delete_email_verifications",
    delete(email_verifications).where(email_verifications.c.user_id == param("match_user_id")),
)
