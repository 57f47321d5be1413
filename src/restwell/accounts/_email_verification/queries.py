from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete

from restwell.accounts._email_verification.models import email_verifications
from restwell.database import insert_row, param, query
from restwell.retention import delete_before


class VerifiedEmail(Struct, frozen=True):
    user_id: UUID
    email: str


insert_verification: Final = query("email_verifications.insert", insert_row(email_verifications))
use: Final = query(
    "email_verifications.use",
    delete(email_verifications)
    .where(email_verifications.c.code_hash == param("match_hash"), email_verifications.c.expires_at > param("now"))
    .returning(email_verifications.c.user_id, email_verifications.c.email),
    into=VerifiedEmail,
)
delete_codes: Final = query(
    "email_verifications.delete_codes",
    delete(email_verifications).where(email_verifications.c.user_id == param("match_user_id")),
)

delete_expired: Final = delete_before(
    "email_verifications.delete_expired", email_verifications.c.code_hash, email_verifications.c.expires_at
)
