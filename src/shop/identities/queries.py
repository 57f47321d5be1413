"""SQL of identities."""

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
    """Who has an address here."""

    id: UUID
    active: bool
    email_verified: bool


_one: Final = (identities.c.provider == param("provider")) & (identities.c.subject == param("subject"))
_other: Final = identities.alias("other")

_owner: Final = (
    select(users.c.id, users.c.active).join_from(identities, users, identities.c.user_id == users.c.id).where(_one)
)
owner: Final = query(
    "identities.owner",
    {"postgresql": _owner.with_for_update(key_share=True, of=users), "sqlite": _owner},
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
_account: Final = select(users.c.id).where(users.c.id == param("owner_id"))
lock_user: Final = query(
    "identities.lock_user",
    {"postgresql": _account.with_for_update(key_share=True), "sqlite": _account},
    into=UUID,
)
"""Of several who remove ways to sign in, each sees what the one before has left."""
unlink: Final = query(
    "identities.unlink",
    delete(identities).where(
        identities.c.user_id == param("owner_id"),
        identities.c.provider == param("provider"),
        exists().where(users.c.id == param("owner_id"), users.c.password_hash.is_not(None))
        | exists().where(_other.c.user_id == param("owner_id"), _other.c.provider != param("provider")),
    ),
)
