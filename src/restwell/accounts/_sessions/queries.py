from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, select, true, update

from restwell.accounts._sessions.models import refresh_tokens, sessions
from restwell.accounts._users.models import user_access
from restwell.database import any_of, insert_row, param, query
from restwell.retention import BATCH

MAX_LISTED: Final = 100


class StoredSession(Struct, frozen=True):
    id: UUID
    user_agent: str
    ip_address: str
    created_at: datetime
    last_used_at: datetime


class ActiveSession(Struct, frozen=True):
    """A session that is not revoked. It may be expired."""

    user_id: UUID
    role: str
    expires_at: datetime


class UsedToken(Struct, frozen=True):
    session_id: UUID
    user_id: UUID
    used_at: datetime


_is_active: Final = (
    sessions.c.revoked_at.is_(None)
    & (sessions.c.expires_at > param("now"))
    & (sessions.c.last_used_at > param("idle_since"))
)

by_id: Final = query(
    "sessions.by_id",
    select(sessions.c.user_id, user_access.c.role, sessions.c.expires_at)
    .join_from(sessions, user_access, sessions.c.user_id == user_access.c.id)
    .where(sessions.c.id == param("id"), sessions.c.revoked_at.is_(None), user_access.c.active == true()),
    into=ActiveSession,
    batch_on="id",
)

of_user: Final = query(
    "sessions.of_user",
    select(sessions.c.id, sessions.c.user_agent, sessions.c.ip_address, sessions.c.created_at, sessions.c.last_used_at)
    .where(sessions.c.user_id == param("user_id"), _is_active)
    .order_by(sessions.c.id.desc())
    .limit(MAX_LISTED),
    into=StoredSession,
)

insert_session: Final = query(
    "sessions.insert",
    insert_row(sessions, revoked_at=None),
)

touch: Final = query(
    "sessions.touch",
    update(sessions)
    .where(sessions.c.id == param("session_id"), _is_active)
    .values(last_used_at=param("now"))
    .returning(sessions.c.user_id),
    into=UUID,
)

revoke: Final = query(
    "sessions.revoke",
    update(sessions)
    .where(
        sessions.c.id == param("session_id"),
        sessions.c.user_id == param("match_user_id"),
        sessions.c.revoked_at.is_(None),
    )
    .values(revoked_at=param("now")),
)

revoke_all: Final = query(
    "sessions.revoke_all",
    update(sessions)
    .where(sessions.c.user_id == param("match_user_id"), sessions.c.revoked_at.is_(None))
    .values(revoked_at=param("now")),
)

revoke_others: Final = query(
    "sessions.revoke_others",
    update(sessions)
    .where(
        sessions.c.user_id == param("match_user_id"),
        sessions.c.id != param("session_id"),
        sessions.c.revoked_at.is_(None),
    )
    .values(revoked_at=param("now")),
)

insert_token: Final = query(
    "refresh_tokens.insert",
    insert_row(refresh_tokens, used_at=None),
)

use_token: Final = query(
    "refresh_tokens.use",
    update(refresh_tokens)
    .where(refresh_tokens.c.token_hash == param("match_hash"), refresh_tokens.c.used_at.is_(None))
    .values(used_at=param("now"))
    .returning(refresh_tokens.c.session_id),
    into=UUID,
)

user_of_token: Final = query(
    "refresh_tokens.user",
    select(sessions.c.user_id)
    .join_from(refresh_tokens, sessions, refresh_tokens.c.session_id == sessions.c.id)
    .where(refresh_tokens.c.token_hash == param("match_hash"), sessions.c.revoked_at.is_(None)),
    into=UUID,
)

used_token: Final = query(
    "refresh_tokens.used",
    select(refresh_tokens.c.session_id, sessions.c.user_id, refresh_tokens.c.used_at)
    .join_from(refresh_tokens, sessions, refresh_tokens.c.session_id == sessions.c.id)
    .where(refresh_tokens.c.token_hash == param("match_hash"), _is_active),
    into=UsedToken,
)

# UUIDv7 ids are ordered by time, so the oldest rows are a range of the primary key.
expired: Final = query(
    "sessions.expired",
    select(sessions.c.id).where(sessions.c.id < param("before")).order_by(sessions.c.id).limit(BATCH),
    into=UUID,
)

delete_tokens: Final = query(
    "refresh_tokens.delete_expired", delete(refresh_tokens).where(any_of(refresh_tokens.c.session_id, "ids"))
)

delete_sessions: Final = query("sessions.delete_expired", delete(sessions).where(any_of(sessions.c.id, "ids")))
