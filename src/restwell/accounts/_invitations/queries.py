from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, select, update

from restwell.accounts._invitations.models import invitations
from restwell.accounts._invitations.schemas import Invitation
from restwell.database import columns_of, page_query, param, query, upsert
from restwell.retention import delete_before


class PendingInvitation(Struct, frozen=True):
    id: UUID
    email: str
    role: str
    expires_at: datetime


_pending: Final = columns_of(invitations, PendingInvitation)
_has_code: Final = invitations.c.code_hash == param("match_hash")
_is_valid: Final = invitations.c.expires_at > param("now")

replace: Final = query("invitations.replace", upsert(invitations, code_hash=None))
page: Final = page_query(
    "invitations.page", select(*columns_of(invitations, Invitation)), [invitations.c.id], Invitation
)
revoke: Final = query(
    "invitations.revoke",
    delete(invitations).where(invitations.c.id == param("invitation_id")).returning(invitations.c.role),
    into=str,
)
set_code: Final = query(
    "invitations.set_code",
    update(invitations)
    .where(invitations.c.id == param("invitation_id"))
    .values(code_hash=param("code_hash"))
    .returning(*_pending),
    into=PendingInvitation,
)
by_code: Final = query("invitations.by_code", select(*_pending).where(_has_code, _is_valid), into=PendingInvitation)
use_code: Final = query(
    "invitations.use_code", delete(invitations).where(_has_code, _is_valid).returning(*_pending), into=PendingInvitation
)
use_email: Final = query(
    "invitations.use_email",
    delete(invitations).where(invitations.c.email == param("match_email"), _is_valid).returning(*_pending),
    into=PendingInvitation,
)

delete_expired: Final = delete_before("invitations.delete_expired", invitations.c.email, invitations.c.expires_at)
