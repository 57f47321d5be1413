from typing import Final
from uuid import UUID

from sqlalchemy import select, update

from restwell.accounts._passwords.models import password_resets
from restwell.database import insert_row, param, query
from restwell.retention import delete_before

insert_reset: Final = query(
    "password_resets.insert",
    insert_row(password_resets, used_at=None),
)
_is_valid: Final = (
    (password_resets.c.code_hash == param("match_hash"))
    & password_resets.c.used_at.is_(None)
    & (password_resets.c.expires_at > param("now"))
)
user_of: Final = query("password_resets.user_of", select(password_resets.c.user_id).where(_is_valid), into=UUID)
use: Final = query(
    "password_resets.use",
    update(password_resets).where(_is_valid).values(used_at=param("now")).returning(password_resets.c.user_id),
    into=UUID,
)
revoke_unused: Final = query(
    "password_resets.revoke_unused",
    update(password_resets)
    .where(password_resets.c.user_id == param("match_user_id"), password_resets.c.used_at.is_(None))
    .values(used_at=param("now")),
)

delete_expired: Final = delete_before(
    "password_resets.delete_expired", password_resets.c.code_hash, password_resets.c.expires_at
)
