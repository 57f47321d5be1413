from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, update

from restwell.accounts._clients.models import clients
from restwell.database import columns_of, insert_row, page_query, param, query


class StoredClient(Struct, frozen=True):
    id: UUID
    name: str
    scopes: str
    created_at: datetime


class ActiveClient(Struct, frozen=True):
    secret_hash: bytes
    scopes: str


_not_revoked: Final = clients.c.revoked_at.is_(None)
_listed: Final = select(*columns_of(clients, StoredClient)).where(_not_revoked)

insert_client: Final = query("clients.insert", insert_row(clients, revoked_at=None))
active: Final = query(
    "clients.active",
    select(clients.c.secret_hash, clients.c.scopes).where(clients.c.id == param("id"), _not_revoked),
    into=ActiveClient,
)
page: Final = page_query("clients.page", _listed, [clients.c.id], StoredClient)
revoke: Final = query(
    "clients.revoke",
    update(clients)
    .where(clients.c.id == param("client_id"), _not_revoked)
    .values(revoked_at=param("now"))
    .returning(clients.c.name),
    into=str,
)
