"""SQL of email confirmations."""

from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, insert, select, update

from restwell.database import param, query
from shop.email_confirmations.models import email_confirmations
from shop.users.models import users


class Confirmed(Struct, frozen=True):
    user_id: UUID
    email: str


insert_confirmation: Final = query(
    "email_confirmations.insert",
    insert(email_confirmations).values({c.name: param(c.name) for c in email_confirmations.columns}),
)
use: Final = query(
    "email_confirmations.use",
    delete(email_confirmations)
    .where(email_confirmations.c.code_hash == param("its_hash"), email_confirmations.c.expires_at > param("now"))
    .returning(email_confirmations.c.user_id, email_confirmations.c.email),
    into=Confirmed,
)
forget: Final = query(
    "email_confirmations.forget", delete(email_confirmations).where(email_confirmations.c.user_id == param("owner_id"))
)
address: Final = query(
    "email_confirmations.address",
    select(users.c.email).where(users.c.id == param("user_id"), users.c.active),
    into=str,
)
set_email: Final = query(
    "email_confirmations.set_email",
    update(users)
    .where(users.c.id == param("user_id"), users.c.active)
    .values(email=param("email"), email_verified_at=param("now"), updated_at=param("now")),
)
