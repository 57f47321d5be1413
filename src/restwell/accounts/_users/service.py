from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._hooks import AccountHooks, run_hooks, run_session_hooks
from restwell.accounts._languages import preferred
from restwell.accounts._options import AccountOptions
from restwell.accounts._personal_data import PersonalValue
from restwell.accounts._users import queries
from restwell.accounts._users.queries import Credentials, StoredUser
from restwell.accounts._users.schemas import OwnFieldsUpdateRequest, User, UserUpdateRequest
from restwell.accounts._users.tags import user_tag
from restwell.auth import Actor
from restwell.cache import Cache
from restwell.database import Database, Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import Conflict, NotFound
from restwell.ids import new_id
from restwell.pages import Cursors, Page, PageFilter

T = TypeVar("T")

_plain: Final = attrgetter(*User.__struct_fields__)

CACHE_TTL_SECONDS: Final = 60


class EmailTaken(Conflict):
    code, message = "email_taken", "An account with this email exists. Sign in instead."


class OwnAccount(Conflict):
    code, message = "own_account", "You cannot change your own role or deactivate your own account. Ask another admin."


class UserService(PersonalValue):
    """Accounts. Methods whose name ends with ``_in`` run in the transaction of the caller."""

    member = "account"

    def __init__(
        self,
        database: Database,
        cache: Cache,
        cursors: Cursors,
        hooks: AccountHooks,
        audit: AuditLog,
        options: AccountOptions,
    ) -> None:
        self._database = database
        self._cache = cache
        self._cursors = cursors
        self._hooks = hooks
        self._audit = audit
        self._default_role = options.default_role
        self._languages = options.languages
        self._profiles = options.profiles
        self._kind = options.user
        self._cached = options.user | None

    async def read_personal_value(self, owner: Actor) -> User:
        return await self.get_user(owner.id)

    async def register_in(
        self,
        tx: Transaction,
        email: EmailAddress,
        name: str,
        *,
        password_hash: str | None = None,
        email_verified: bool = False,
        role: str | None = None,
        accept_language: str = "",
        profile: Struct | UnsetType = UNSET,
    ) -> User:
        """Create an account, with the default role unless one is given, in the caller's transaction.

        ``accept_language``: the header that chooses the language. ``profile``: a merge patch of an empty profile.
        Raises UniqueViolation if an account with this address exists, and Invalid for an invalid profile.
        """
        now = datetime.now(UTC)
        stored = await tx.one(
            queries.insert_user,
            id=new_id(),
            email=email,
            email_verified_at=now if email_verified else None,
            name=name,
            password_hash=password_hash,
            role=role or self._default_role,
            active=True,
            language=preferred(accept_language, self._languages.tags) if self._languages.are_several else None,
            profile=self._changed_profile(None, profile),
            created_at=now,
            updated_at=now,
        )
        user = self._to_user(stored)
        await self._audit.record(tx, SecurityEventType.REGISTERED, user.id)
        await run_hooks(self._hooks.on_registered, tx, user.id)
        return user

    async def get_user(self, user_id: UUID) -> User:
        tag = user_tag(user_id)
        user = await self._cache.get_or_load(
            tag,
            lambda: self._load(user_id),
            kind=self._cached,
            tags=[tag],
            ttl_seconds=CACHE_TTL_SECONDS,
        )
        if user is None:
            raise NotFound
        return user

    async def find_active(self, user_id: UUID, tx: Transaction | None = None) -> User | None:
        """Return the user as last committed. Returns None for a deactivated or deleted account."""
        stored = await (tx or self._database.primary).find(queries.by_id, id=user_id)
        return self._to_user(stored) if stored is not None and stored.active else None

    async def find_credentials(self, email: str, tx: Transaction | None = None) -> Credentials | None:
        """Return what authenticates the user with this address, as last committed. The account may be deactivated."""
        return await (tx or self._database.primary).find(queries.credentials_by_email, email=email)

    async def find_password(self, user_id: UUID) -> str | None:
        """Return the stored hash of the password, as last committed."""
        return await self._database.primary.find(queries.password_of, id=user_id)

    async def lock_credentials_in(self, tx: Transaction, user_id: UUID) -> Credentials | None:
        """Lock the account until the caller's transaction ends. Serialises changes of its credentials."""
        return await tx.find(queries.lock_credentials, user_id=user_id)

    async def list_users(self, filters: PageFilter) -> Page[User]:
        """Return a page of accounts, oldest first."""
        return (await self._cursors.fetch(self._database, queries.page, filters)).map(self._to_user)

    async def update_own(self, actor: Actor, patch: OwnFieldsUpdateRequest) -> User:
        async with self._database.transaction() as tx:
            profile = None
            if not isinstance(patch.profile, UnsetType):
                stored = await tx.find(queries.lock_profile, user_id=actor.id)
                profile = self._changed_profile(stored, patch.profile)
            name, language = _to_none(patch.name), _to_none(patch.language)
            return await self._update(tx, actor.id, name=name, language=language, profile=profile)

    async def change_password_in(
        self, tx: Transaction, user_id: UUID, old_hash: str, password_hash: str, *, keep: UUID
    ) -> bool:
        """Replace the password and revoke all sessions but ``keep``, in the caller's transaction.

        Returns False if ``old_hash`` is not the stored one.
        """
        changed = await tx.find(
            queries.set_password,
            user_id=user_id,
            old_hash=old_hash,
            password_hash=password_hash,
            now=datetime.now(UTC),
        )
        if changed is None:
            return False
        self._cache_user(tx, self._to_user(changed))
        await self.revoke_sessions_in(tx, user_id, keep=keep)
        await run_hooks(self._hooks.on_password_changed, tx, user_id)
        return True

    async def rehash_password_in(self, tx: Transaction, user_id: UUID, password_hash: str) -> None:
        """Store a new hash of the same password, in the caller's transaction."""
        await tx.run(queries.rehash_password, user_id=user_id, password_hash=password_hash)

    async def reset_password_in(self, tx: Transaction, user: User, password_hash: str) -> None:
        """Set a new password and revoke all sessions, in the caller's transaction.

        The owner has proved control of the email address, so it is marked as verified. If it was not before, the other
        credentials are deleted.
        """
        await tx.run(queries.reset_password, user_id=user.id, password_hash=password_hash, now=datetime.now(UTC))
        self._cache.invalidate(tx, user_tag(user.id))
        await self.revoke_sessions_in(tx, user.id)
        await run_hooks(self._hooks.on_password_changed, tx, user.id)
        if not user.email_verified:
            await run_hooks(self._hooks.on_credentials_reset, tx, user.id)

    async def set_verified_email_in(self, tx: Transaction, user: User, email: str) -> None:
        """Set the address and mark it as verified, in the caller's transaction. Raises UniqueViolation."""
        await tx.run(queries.set_email, user_id=user.id, email=email, now=datetime.now(UTC))
        self._cache.invalidate(tx, user_tag(user.id))
        if email == user.email:
            await self._audit.record(tx, SecurityEventType.EMAIL_VERIFIED, user.id)
            return
        await run_hooks(self._hooks.on_email_changed, tx, user.id)
        await self._audit.record(tx, SecurityEventType.EMAIL_CHANGED, user.id, detail=f"from: {user.email}")

    async def revoke_sessions_in(self, tx: Transaction, user_id: UUID, *, keep: UUID | None = None) -> None:
        """Revoke all sessions of the user but ``keep``, in the caller's transaction."""
        await run_session_hooks(self._hooks.on_sessions_revoked, tx, user_id, keep)

    async def update_user(self, actor: Actor, user_id: UUID, patch: UserUpdateRequest) -> User:
        """Change role or status. Deactivation revokes all sessions of the account. Raises NotFound, OwnAccount.

        The last admin can still be lost, by deleting the own account; ``restwell users add`` adds another one.
        """
        if user_id == actor.id:
            raise OwnAccount
        async with self._database.transaction() as tx:
            user = await self._update(tx, user_id, role=_to_none(patch.role), active=_to_none(patch.active))
            if not user.active:
                await self.revoke_sessions_in(tx, user_id)
            detail = f"role: {user.role}, active: {str(user.active).lower()}"
            await self._audit.record(tx, SecurityEventType.ACCOUNT_UPDATED, user_id, actor_id=actor.id, detail=detail)
        return user

    async def delete_own(self, actor: Actor) -> None:
        """Anonymise the account, delete its credentials and revoke its sessions. Hooks decide about other data."""
        async with self._database.transaction() as tx:
            await tx.run(
                queries.anonymise,
                user_id=actor.id,
                email=f"deleted-{actor.id}@deleted.invalid",
                now=datetime.now(UTC),
            )
            self._cache.invalidate(tx, user_tag(actor.id))
            await self.revoke_sessions_in(tx, actor.id)
            await run_hooks(self._hooks.on_deleted, tx, actor.id)
            await self._audit.record(tx, SecurityEventType.ACCOUNT_DELETED, actor.id)

    async def _update(
        self,
        tx: Transaction,
        user_id: UUID,
        *,
        name: str | None = None,
        role: str | None = None,
        active: bool | None = None,
        language: str | None = None,
        profile: str | None = None,
    ) -> User:
        now = datetime.now(UTC)
        stored = await tx.find(
            queries.update_user,
            user_id=user_id,
            name=name,
            role=role,
            active=active,
            language=language,
            profile=profile,
            now=now,
        )
        if stored is None:
            raise NotFound
        user = self._to_user(stored)
        self._cache_user(tx, user)
        return user

    async def _load(self, user_id: UUID) -> User | None:
        stored = await self._database.find(queries.by_id, id=user_id)
        return self._to_user(stored) if stored is not None else None

    def _to_user(self, stored: StoredUser) -> User:
        kind: Any = self._kind
        own: list[Any] = []
        if self._languages.are_several:
            own.append(self._languages.find(stored.language))
        if self._profiles is not None:
            own.append(self._profiles.read(stored.profile))
        user: User = kind(*_plain(stored), *own)
        return user

    def _changed_profile(self, stored: str | None, patch: Struct | UnsetType) -> str | None:
        if self._profiles is None or isinstance(patch, UnsetType):
            return stored
        return self._profiles.change(stored, patch)

    def _cache_user(self, tx: Transaction, user: User) -> None:
        key = user_tag(user.id)
        self._cache.write(tx, key, user, kind=self._cached, tags=[key], ttl_seconds=CACHE_TTL_SECONDS)


def _to_none(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value
