from collections.abc import Sequence
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from restwell._app import Restwell
from restwell._batcher import Batcher
from restwell.accounts._api_keys import queries
from restwell.accounts._api_keys.jobs import send_api_key_created
from restwell.accounts._api_keys.queries import MAX_KEYS, StoredKey
from restwell.accounts._api_keys.schemas import ApiKey, ApiKeyCreateRequest, ApiKeyWithSecret
from restwell.accounts._api_keys.tokens import ApiKeyFormat, digest
from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._authentication import KeyTokens
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._personal_data import PersonalValue
from restwell.accounts._sessions.refresh_check import RefreshCheck
from restwell.accounts._users.service import UserService
from restwell.accounts._users.tags import user_tag
from restwell.auth import AccessTokens, Actor
from restwell.cache import Cache
from restwell.database import Database, Transaction
from restwell.database._instrumentation import stop_counting
from restwell.errors import Conflict, FieldError, Invalid, NotFound, Unauthorized
from restwell.ids import new_id
from restwell.jobs import Jobs
from restwell.retention import DeletesExpired

log = structlog.get_logger("restwell.accounts._api_keys")

CACHE_TTL_SECONDS: Final = 60
USE_INTERVAL: Final = timedelta(minutes=1)
"""Minimum time between two writes of ``last_used_at`` of a key."""
EXPIRED_KEY_RETENTION: Final = timedelta(days=30)
"""How long an expired key is listed, so that its owner sees why a program stopped."""


class TooManyApiKeys(Conflict):
    code, message = "too_many_api_keys", f"You have {MAX_KEYS} API keys, the maximum. Revoke one that you do not need."


class CachedKey(Struct, frozen=True):
    id: UUID
    user_id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None


class ApiKeyService(KeyTokens, DeletesExpired, PersonalValue):
    member = "api_keys"

    def __init__(
        self,
        database: Database,
        cache: Cache,
        jobs: Jobs,
        key_format: ApiKeyFormat,
        access_tokens: AccessTokens,
        refresh_checks: Sequence[RefreshCheck],
        users: UserService,
        hooks: AccountHooks,
        audit: AuditLog,
        kit: Restwell,
    ) -> None:
        self._database = database
        self._cache = cache
        self._jobs = jobs
        self._format = key_format
        self._refresh_checks = refresh_checks
        self._role_ttl_seconds = access_tokens.ttl_seconds if refresh_checks else CACHE_TTL_SECONDS
        self._users = users
        self._audit = audit
        self._uses: Batcher[UUID, None] = Batcher(self._record_uses)
        self.prefix = key_format.prefix
        hooks.on_credentials_reset.append(self.delete_in)
        hooks.on_deleted.append(self.delete_in)
        kit.close_on_shutdown(self)

    async def close(self) -> None:
        """Uses that are not recorded yet are lost."""
        await self._uses.close()

    async def read_personal_value(self, owner: Actor) -> list[ApiKey]:
        return await self.list_keys(owner)

    async def create(self, actor: Actor, draft: ApiKeyCreateRequest) -> ApiKeyWithSecret:
        """Create a key and notify the owner. Returns the key itself, of which only a hash is stored.

        Raises TooManyApiKeys, Invalid.
        """
        now = datetime.now(UTC)
        if draft.expires_at is not None and draft.expires_at <= now:
            raise Invalid(errors=[FieldError("$.expires_at", "must be in the future")])
        key, scopes = self._format.generate(), sorted(set(draft.scopes))
        start = self._format.start_of(key)
        created = ApiKeyWithSecret(new_id(), draft.name, start, scopes, now, None, draft.expires_at, key)
        async with self._database.transaction() as tx:
            owner = await self._users.lock_credentials_in(tx, actor.id)
            if owner is None or not owner.active:
                raise Unauthorized  # deleted or deactivated concurrently
            if await tx.one(queries.count, match_user_id=actor.id) >= MAX_KEYS:
                raise TooManyApiKeys
            await tx.run(
                queries.insert_key,
                id=created.id,
                user_id=actor.id,
                name=created.name,
                start=start,
                key_hash=digest(key),
                scopes=" ".join(scopes),
                created_at=now,
                expires_at=created.expires_at,
            )
            detail = f"{created.name}: {' '.join(scopes)}"
            await self._audit.record(tx, SecurityEventType.API_KEY_CREATED, actor.id, detail=detail)
            await self._jobs.enqueue(tx, send_api_key_created, user_id=actor.id, start=start)
        return created

    async def list_keys(self, actor: Actor) -> list[ApiKey]:
        """Return the caller's keys, oldest first, with those that expired in the last days."""
        return [_to_schema(row) for row in await self._database.all(queries.of_user, match_user_id=actor.id)]

    async def revoke(self, actor: Actor, key_id: UUID) -> None:
        """Revoke a key of the caller, effective immediately on every node. Raises NotFound."""
        async with self._database.transaction() as tx:
            deleted = await tx.find(queries.delete_key, key_id=key_id, match_user_id=actor.id)
            if deleted is None:
                raise NotFound
            self._cache.invalidate(tx, _cache_key(deleted.key_hash))
            await self._audit.record(tx, SecurityEventType.API_KEY_REVOKED, actor.id, detail=deleted.name)

    async def delete_in(self, tx: Transaction, user_id: UUID) -> None:
        """Delete all keys of the user, in the caller's transaction."""
        for deleted in await tx.all(queries.delete_all, match_user_id=user_id):
            self._cache.invalidate(tx, _cache_key(deleted.key_hash))

    async def get_actor(self, key: str) -> Actor:
        if not self._format.is_complete(key):
            raise Unauthorized("The API key is not valid. Check that it was copied completely.")
        key_hash = digest(key)
        cache_key = _cache_key(key_hash)
        found = await self._cache.get_or_load(
            cache_key,
            lambda: self._load(key_hash),
            kind=CachedKey | None,
            tags=[cache_key],
            ttl_seconds=CACHE_TTL_SECONDS,
        )
        if found is None or (found.expires_at is not None and found.expires_at <= datetime.now(UTC)):
            raise Unauthorized("The API key is expired or revoked.")
        user_id = found.user_id
        role = await self._cache.get_or_load(
            f"api_key_role:{user_id}",
            lambda: self._load_role(user_id),
            kind=str | None,
            tags=[user_tag(user_id)],
            ttl_seconds=self._role_ttl_seconds,
        )
        if role is None:
            raise Unauthorized("The account of the API key is deactivated.")
        return Actor(user_id, role, found.id, found.scopes)

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of keys that expired long ago. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now - EXPIRED_KEY_RETENTION)

    async def _load(self, key_hash: bytes) -> CachedKey | None:
        """A key in use is loaded about once a minute, so this is where its use is noticed."""
        row = await self._database.primary.find(queries.by_hash, match_hash=key_hash)
        if row is None:
            return None
        now = datetime.now(UTC)
        is_due = row.last_used_at is None or row.last_used_at <= now - USE_INTERVAL
        if is_due and (row.expires_at is None or row.expires_at > now):
            Context().run(self._uses.add, row.id)  # outside the request, its transaction and its query budget
        return CachedKey(row.id, row.user_id, frozenset(row.scopes.split()), row.expires_at)

    async def _load_role(self, user_id: UUID) -> str | None:
        """The role of an active user. A key has no refresh, so this is where its user is checked."""
        if self._refresh_checks:
            stop_counting()  # the changes that a directory has made to the account; in the task of this load
            for each in self._refresh_checks:
                await each.check_user(user_id)
        return await self._database.primary.find(queries.active_role, id=user_id)

    async def _record_uses(self, ids: list[UUID]) -> list[None]:
        try:
            await self._database.run(queries.record_uses, ids=list(set(ids)), now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  # no caller awaits it
            log.warning("api_key_use_not_recorded", cause=repr(error))
        return [None] * len(ids)


def _cache_key(key_hash: bytes) -> str:
    return f"api_key:{key_hash.hex()}"


def _to_schema(row: StoredKey) -> ApiKey:
    return ApiKey(row.id, row.name, row.start, row.scopes.split(), row.created_at, row.last_used_at, row.expires_at)
