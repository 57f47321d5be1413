from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, select, true, update

from restwell.accounts._api_keys.models import api_keys
from restwell.accounts._users.models import user_access
from restwell.database import any_of, columns_of, insert_row, param, query
from restwell.retention import delete_before

MAX_KEYS: Final = 50
"""Keys of one user."""


class StoredKey(Struct, frozen=True):
    id: UUID
    name: str
    start: str
    scopes: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class PresentedKey(Struct, frozen=True):
    id: UUID
    user_id: UUID
    scopes: str
    last_used_at: datetime | None
    expires_at: datetime | None


class DeletedKey(Struct, frozen=True):
    name: str
    key_hash: bytes


_of_user: Final = api_keys.c.user_id == param("match_user_id")

insert_key: Final = query("api_keys.insert", insert_row(api_keys, last_used_at=None))
count: Final = query("api_keys.count", select(func.count().label("n")).select_from(api_keys).where(_of_user), into=int)
of_user: Final = query(
    "api_keys.of_user",
    select(*columns_of(api_keys, StoredKey)).where(_of_user).order_by(api_keys.c.id).limit(MAX_KEYS),
    into=StoredKey,
)
by_hash: Final = query(
    "api_keys.by_hash",
    select(*columns_of(api_keys, PresentedKey)).where(api_keys.c.key_hash == param("match_hash")),
    into=PresentedKey,
)
active_role: Final = query(
    "api_keys.active_role",
    select(user_access.c.role).where(user_access.c.id == param("id"), user_access.c.active == true()),
    into=str,
)
record_uses: Final = query(
    "api_keys.record_uses",
    update(api_keys).where(any_of(api_keys.c.id, "ids")).values(last_used_at=param("now")),
)
delete_key: Final = query(
    "api_keys.delete",
    delete(api_keys).where(api_keys.c.id == param("key_id"), _of_user).returning(api_keys.c.name, api_keys.c.key_hash),
    into=DeletedKey,
)
delete_all: Final = query(
    "api_keys.delete_all",
    delete(api_keys).where(_of_user).returning(api_keys.c.name, api_keys.c.key_hash),
    into=DeletedKey,
)
delete_expired: Final = delete_before("api_keys.delete_expired", api_keys.c.id, api_keys.c.expires_at)
