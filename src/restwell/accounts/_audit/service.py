from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.accounts._audit import queries
from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.schemas import SecurityEvent, SecurityEventFilter
from restwell.accounts._options import AccountOptions
from restwell.accounts._personal_data import PersonalList
from restwell.auth import Actor
from restwell.database import Database, Transaction
from restwell.ids import min_id_at, new_id
from restwell.observability._trace import current_request_id
from restwell.pages import Cursors, Page, PageFilter
from restwell.retention import DeletesExpired

RETENTION: Final = timedelta(days=366)
"""One day more than the database trigger requires."""


class AuditLog(DeletesExpired, PersonalList):
    """Append-only security events, kept for a year."""

    member = "security_events"

    def __init__(self, database: Database, cursors: Cursors, options: AccountOptions) -> None:
        self._database = database
        self._cursors = cursors
        self._admin_role = options.admin_role

    async def record(
        self,
        tx: Transaction,
        type_: SecurityEventType,
        user_id: UUID | None,
        *,
        actor_id: UUID | None = None,
        ip_address: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Insert an event in the caller's transaction: it is stored if and only if that transaction commits."""
        await tx.run(
            queries.insert_event,
            id=new_id(),
            occurred_at=datetime.now(UTC),
            type=type_,
            user_id=user_id,
            actor_id=actor_id,
            ip_address=ip_address,
            detail=detail,
            request_id=current_request_id(),
        )

    async def list_events(self, actor: Actor, filters: SecurityEventFilter) -> Page[SecurityEvent]:
        """Return a page of events, newest first.

        Admins and OAuth clients may list all accounts; users only their own.
        """
        user_id = filters.user_id if actor.is_machine or actor.role == self._admin_role else actor.id
        if user_id is None:
            return await self._cursors.fetch(self._database, queries.page, filters)
        return await self._cursors.fetch(self._database, queries.page_of_user, filters, user_id=user_id)

    async def read_personal_page(self, owner: Actor, filters: PageFilter) -> Page[SecurityEvent]:
        """Return a page of the events of the user's own account, newest first."""
        own = SecurityEventFilter(limit=filters.limit, cursor=filters.cursor, user_id=owner.id)
        return await self.list_events(owner, own)

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of old events. Returns their number."""
        return await self._database.run(queries.delete_expired, before=min_id_at(now - RETENTION))
