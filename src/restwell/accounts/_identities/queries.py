from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, exists, select

from restwell.accounts._identities.models import identities
from restwell.accounts._identities.schemas import LinkedIdentity
from restwell.accounts._users.models import user_access
from restwell.database import columns_of, insert_row, param, query

MAX_LISTED: Final = 100


class LinkedUser(Struct, frozen=True):
    id: UUID
    active: bool


_by_subject: Final = (identities.c.provider == param("provider")) & (identities.c.subject == param("subject"))
_other_identities: Final = identities.alias("other")

_linked_user: Final = (
    select(user_access.c.id, user_access.c.active)
    .join_from(identities, user_access, identities.c.user_id == user_access.c.id)
    .where(_by_subject)
)
linked_user: Final = query(
    "identities.linked_user",
    {"postgresql": _linked_user.with_for_update(key_share=True, of=user_access), "sqlite": _linked_user},
    into=LinkedUser,
)
insert_identity: Final = query("identities.insert", insert_row(identities))
of_user: Final = query(
    "identities.of_user",
    select(*columns_of(identities, LinkedIdentity))
    .where(identities.c.user_id == param("user_id"))
    .order_by(identities.c.provider)
    .limit(MAX_LISTED),
    into=LinkedIdentity,
)
unlink: Final = query(
    "identities.unlink",
    delete(identities).where(
        identities.c.user_id == param("match_user_id"),
        identities.c.provider == param("provider"),
        param("has_password")
        | exists().where(
            _other_identities.c.user_id == param("match_user_id"), _other_identities.c.provider != param("provider")
        ),
    ),
)
"""The caller has locked the user's credentials: otherwise concurrent removals could remove the last one."""
delete_all: Final = query(
    "identities.delete_all", delete(identities).where(identities.c.user_id == param("match_user_id"))
)
