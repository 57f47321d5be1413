"""Deletes the credentials of a user other than the password."""

from typing import Final
from uuid import UUID

from sqlalchemy import Table, delete

from restwell.database import Query, Transaction, param, query
from shop.identities.models import identities
from shop.mfa.models import mfa_enrolments, recovery_codes


def _delete(table: Table) -> Query[None]:
    return query(f"credentials.delete_{table.name}", delete(table).where(table.c.user_id == param("match_user_id")))


delete_identities: Final = _delete(identities)
delete_mfa_enrolment: Final = _delete(mfa_enrolments)
delete_recovery_codes: Final = _delete(recovery_codes)


async def delete_credentials_in(tx: Transaction, user_id: UUID) -> None:
    """Delete linked identities, MFA enrolment and recovery codes, in the caller's transaction."""
    for statement in (delete_identities, delete_mfa_enrolment, delete_recovery_codes):
        await tx.run(statement, match_user_id=user_id)
