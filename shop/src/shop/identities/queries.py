from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, exists, insert, select

from restwell.database import param, query
from shop.identities.models import identities
from shop.identities.schemas import LinkedIdentity
from shop.users.models import users

MAX_LISTED: Final = 100


class LinkedUser(Struct, frozen=True):
    id: UUID
    active: bool


class ExistingUser(Struct, frozen=True):
    """The user with the email address of a new identity."""

    id: UUID
    active: bool
    email_verified: bool


_by_subject: Final = (identities.c.provider == param("provider")) & (identities.c.subject == param("subject"))
_other_identities: Final = identities.alias("other")

_linked_user: Final = (
    select(users.c.id, users.c.active)
    .join_from(identities, users, identities.c.user_id == users.c.id)
    .where(_by_subject)
)
linked_user: Final = query(
    "identities.linked_user",
    {"postgresql": _linked_user.with_for_update(key_share=True, of=users), "sqlite": _linked_user},
    into=LinkedUser,
)
existing_user: Final = query(
    "identities.existing_user",
    select(users.c.id, users.c.active, users.c.email_verified_at.is_not(None).label("email_verified")).where(
        users.c.email == param("email")
    ),
    into=ExistingUser,
)
insert_identity: Final = query(
    "identities.insert", insert(identities).values({c.name: param(c.name) for c in identities.columns})
)
of_user: Final = query(
    "identities.of_user",
    select(*(identities.c[name] for name in LinkedIdentity.__struct_fields__))
    .where(identities.c.user_id == param("user_id"))
    .order_by(identities.c.provider)
    .limit(MAX_LISTED),
    into=LinkedIdentity,
)
_user_by_id: Final = select(users.c.id).where(users.c.id == param("match_user_id"))
lock_user: Final = query(
    "identities.lock_user",
    {"postgresql": _user_by_id.with_for_update(key_share=True), "sqlite": _user_by_id},
    into=UUID,
)
"""Serialises concurrent removals, so that the last credential is never removed."""
unlink: Final = query(
    "identities.unlink",
    delete(identities).where(
        identities.c.user_id == param("match_user_id"),
        identities.c.provider == param("provider"),
        exists().where(users.c.id == param("match_user_id"), users.c.password_hash.is_not(None))
        | exists().where(
            _other_identities.c.user_id == param("match_user_id"), _other_identities.c.provider != param("provider")
        ),
    ),
)
