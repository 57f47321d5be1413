"""The accounts of the users of a directory, which follow it."""

from datetime import UTC, datetime
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._hooks import AccountHooks, run_hooks
from restwell.accounts._user_directory import DirectoryUser
from restwell.accounts._users import queries
from restwell.accounts._users.queries import StoredUser
from restwell.accounts._users.service import UserService
from restwell.accounts._users.tags import user_tag
from restwell.cache import Cache
from restwell.database import Database, Transaction, UniqueViolation


class DirectoryAccounts:
    def __init__(
        self, database: Database, cache: Cache, users: UserService, hooks: AccountHooks, audit: AuditLog
    ) -> None:
        self._database = database
        self._cache = cache
        self._users = users
        self._hooks = hooks
        self._audit = audit

    async def put_in(self, tx: Transaction, user: DirectoryUser) -> None:
        """Create or update the account of an active user, in the caller's transaction.

        The address is that of the user whom the directory named last: another account with it gets a placeholder, until
        the directory names another address for it. Raises UniqueViolation if both do so at the same time.
        """
        now = datetime.now(UTC)
        stored = await tx.find(queries.lock_of_directory, id=user.id)
        if stored is not None and _is_current(stored, user):
            return
        if stored is None or stored.email != user.email:
            await self._release_address_in(tx, user, now)
        values = {"email": user.email, "name": user.name, "role": user.role, "now": now}
        if stored is None and await tx.run(queries.insert_of_directory, id=user.id, **values):
            await self._audit.record(tx, SecurityEventType.REGISTERED, user.id)
            await run_hooks(self._hooks.on_registered, tx, user.id)
            return
        if not await tx.run(queries.update_of_directory, user_id=user.id, **values):
            raise UniqueViolation("users_email")  # the insert was ignored: another transaction has used the address
        self._cache.invalidate(tx, user_tag(user.id))
        if stored is not None:
            await self._record_changes_in(tx, stored, user)

    async def deactivate(self, user_id: UUID) -> None:
        """Deactivate the account, if there is one, and revoke all its sessions."""
        async with self._database.transaction() as tx:
            stored = await tx.find(queries.lock_of_directory, id=user_id)
            if stored is None:
                return
            values = {"name": None, "role": None, "language": None, "profile": None, "active": False}
            await tx.find(queries.update_user, user_id=user_id, now=datetime.now(UTC), **values)
            self._cache.invalidate(tx, user_tag(user_id))
            await self._users.revoke_sessions_in(tx, user_id)
            if stored.active:
                await self._record_update(tx, user_id, stored.role, active=False)

    async def _release_address_in(self, tx: Transaction, user: DirectoryUser, now: datetime) -> None:
        other = await self._users.find_credentials(user.email, tx)
        if other is None or other.id == user.id:
            return
        placeholder = f"replaced-{other.id}@replaced.invalid"
        await tx.run(queries.release_address, user_id=other.id, email=placeholder, now=now)
        self._cache.invalidate(tx, user_tag(other.id))
        await self._record_new_address(tx, other.id, user.email)

    async def _record_changes_in(self, tx: Transaction, stored: StoredUser, user: DirectoryUser) -> None:
        if stored.email != user.email:
            await self._record_new_address(tx, user.id, stored.email)
        if stored.role != user.role or not stored.active:
            await self._record_update(tx, user.id, user.role, active=True)

    async def _record_new_address(self, tx: Transaction, user_id: UUID, previous: str) -> None:
        await run_hooks(self._hooks.on_email_changed, tx, user_id)
        await self._audit.record(tx, SecurityEventType.EMAIL_CHANGED, user_id, detail=f"from: {previous}")

    async def _record_update(self, tx: Transaction, user_id: UUID, role: str, *, active: bool) -> None:
        detail = f"role: {role}, active: {str(active).lower()}, by the directory"
        await self._audit.record(tx, SecurityEventType.ACCOUNT_UPDATED, user_id, detail=detail)


def _is_current(stored: StoredUser, user: DirectoryUser) -> bool:
    found = (stored.email, stored.name, stored.role, stored.active, stored.email_verified)
    return found == (user.email, user.name, user.role, True, True)
