"""What lets into an account besides its password, and how all of it goes."""

from typing import Final
from uuid import UUID

from sqlalchemy import Table, delete

from restwell.database import Query, Transaction, param, query
from shop.identities.models import identities
from shop.second_factors.models import recovery_codes, second_factors


def _forget(table: Table) -> Query[None]:
    return query(f"ways_in.forget_{table.name}", delete(table).where(table.c.user_id == param("owner_id")))


forget_identities: Final = _forget(identities)
forget_second_factor: Final = _forget(second_factors)
forget_recovery_codes: Final = _forget(recovery_codes)


async def forget_ways_in(tx: Transaction, user_id: UUID) -> None:
    """Accounts elsewhere, second factor and recovery codes, as part of a larger change."""
    for forget in (forget_identities, forget_second_factor, forget_recovery_codes):
        await tx.run(forget, owner_id=user_id)
