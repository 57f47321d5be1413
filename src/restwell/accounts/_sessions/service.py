from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._claims import OwnClaims
from restwell.accounts._hooks import AccountHooks, run_session_hooks
from restwell.accounts._personal_data import PersonalValue
from restwell.accounts._sessions import queries
from restwell.accounts._sessions.queries import ActiveSession
from restwell.accounts._sessions.refresh_check import RefreshCheck
from restwell.accounts._sessions.schemas import BearerTokens, Session
from restwell.accounts._users.tags import user_tag
from restwell.auth import AccessTokens, Actor, Claims, ClientInfo, RefreshTokens
from restwell.cache import Cache
from restwell.database import Database, Transaction
from restwell.errors import NotFound, Unauthorized
from restwell.ids import min_id_at, new_id
from restwell.retention import DeletesExpired
from restwell.settings import Settings

CACHE_TTL_SECONDS: Final = 60
_CACHED: Final = ActiveSession | None
EXPIRED_SESSION_RETENTION: Final = timedelta(days=7)
"""How long an expired session is stored, so that the reuse of a stolen refresh token is still detected."""
REFRESH_GRACE: Final = timedelta(seconds=10)
"""How long a used refresh token returns the same successor, for clients that lost the response."""


class InvalidRefreshToken(Unauthorized):
    code, message = "invalid_refresh_token", "The refresh token is invalid or expired. Sign in again."


class SessionService(DeletesExpired, PersonalValue):
    """Sessions with their access and refresh tokens, one for each device."""

    member = "sessions"

    def __init__(
        self,
        database: Database,
        cache: Cache,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        refresh_checks: Sequence[RefreshCheck],
        hooks: AccountHooks,
        audit: AuditLog,
        own_claims: OwnClaims,
        settings: Settings,
    ) -> None:
        self._database = database
        self._cache = cache
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._hooks = hooks
        self._refresh_checks = refresh_checks
        self._audit = audit
        self._own_claims = own_claims
        self._lifetime = timedelta(seconds=settings.jwt.refresh_ttl_seconds)
        self._idle = timedelta(seconds=settings.jwt.idle_ttl_seconds)
        hooks.on_sessions_revoked.append(self.revoke_all_in)

    async def read_personal_value(self, owner: Actor) -> list[Session]:
        return await self.list_sessions(owner)

    async def open_in(
        self, tx: Transaction, user_id: UUID, client_info: ClientInfo, method: str | None = None
    ) -> tuple[UUID, BearerTokens]:
        """Create a session of an authenticated user, in the caller's transaction.

        ``method`` is logged in the audit log.
        """
        now = datetime.now(UTC)
        session_id = new_id()
        token = self._refresh_tokens.issue()
        await tx.run(
            queries.insert_session,
            id=session_id,
            user_id=user_id,
            user_agent=client_info.user_agent,
            ip_address=client_info.ip_address,
            created_at=now,
            last_used_at=now,
            expires_at=now + self._lifetime,
        )
        await self._insert_token(tx, token, session_id, now)
        await self._audit.record(
            tx, SecurityEventType.SIGNED_IN, user_id, ip_address=client_info.ip_address, detail=method
        )
        return session_id, await self._issue_tokens(tx, user_id, session_id, token)

    async def refresh(self, token: str) -> BearerTokens:
        """Rotate a refresh token. Raises InvalidRefreshToken.

        Concurrent calls, and repeats within REFRESH_GRACE, return the same successor. Later reuse is treated as theft:
        the session is revoked, and the revocation is committed.
        """
        digest = self._refresh_tokens.digest(token)
        successor = self._refresh_tokens.successor(token)
        if self._refresh_checks:
            await self._check_user(digest)
        now = datetime.now(UTC)
        async with self._database.transaction() as tx:
            session_id = await tx.find(queries.use_token, match_hash=digest, now=now)
            if session_id is not None:
                user_id = await tx.find(queries.touch, session_id=session_id, now=now, idle_since=now - self._idle)
                if user_id is None:
                    raise InvalidRefreshToken
                await self._insert_token(tx, successor, session_id, now)
                return await self._issue_tokens(tx, user_id, session_id, successor)
            used = await tx.find(queries.used_token, match_hash=digest, now=now, idle_since=now - self._idle)
            if used is not None and now - used.used_at <= REFRESH_GRACE:
                return await self._issue_tokens(tx, used.user_id, used.session_id, successor)
            if used is not None:
                await self._revoke(tx, used.user_id, used.session_id, now)
                await self._audit.record(tx, SecurityEventType.REFRESH_TOKEN_REUSED, used.user_id)
        # Raised after the commit, so that the revocation is not rolled back.
        raise InvalidRefreshToken

    async def _check_user(self, digest: bytes) -> None:
        user_id = await self._database.primary.find(queries.user_of_token, match_hash=digest)
        if user_id is not None:
            for each in self._refresh_checks:
                await each.check_user(user_id)

    async def get_actor(self, claims: Claims, session_id: UUID) -> Actor:
        """Return the user of the session with the current role.

        Raises Unauthorized if the session is revoked or expired.
        """
        tag = _session_tag(session_id)
        session = await self._cache.get_or_load(
            tag,
            lambda: self._database.primary.find(queries.by_id, id=session_id),
            kind=_CACHED,
            tags=[tag, user_tag(claims.sub)],
            ttl_seconds=CACHE_TTL_SECONDS,
        )
        if session is None or session.user_id != claims.sub or session.expires_at <= datetime.now(UTC):
            raise Unauthorized("The session is expired or revoked. Sign in again.")
        return Actor(session.user_id, session.role, session_id, claims=claims.extra)

    async def list_sessions(self, actor: Actor) -> list[Session]:
        """Return the caller's active sessions, newest first."""
        now = datetime.now(UTC)
        rows = await self._database.all(queries.of_user, user_id=actor.id, now=now, idle_since=now - self._idle)
        return [
            Session(
                row.id, row.user_agent, row.ip_address, row.created_at, row.last_used_at, row.id == actor.session_id
            )
            for row in rows
        ]

    async def revoke(self, actor: Actor, session_id: UUID) -> None:
        """Revoke a session of the caller. Raises NotFound for any other session, and for a revoked one."""
        async with self._database.transaction() as tx:
            if not await self._revoke(tx, actor.id, session_id, datetime.now(UTC)):
                raise NotFound
            await self._audit.record(tx, SecurityEventType.SIGNED_OUT, actor.id)

    async def revoke_all(self, actor: Actor) -> None:
        """Revoke all sessions of the caller."""
        async with self._database.transaction() as tx:
            await run_session_hooks(self._hooks.on_sessions_revoked, tx, actor.id, None)
            await self._audit.record(tx, SecurityEventType.SIGNED_OUT_EVERYWHERE, actor.id)

    async def revoke_all_in(self, tx: Transaction, user_id: UUID, keep: UUID | None = None) -> None:
        """Revoke all sessions of a user but ``keep``, in the caller's transaction."""
        now = datetime.now(UTC)
        if keep is None:
            await tx.run(queries.revoke_all, match_user_id=user_id, now=now)
        else:
            await tx.run(queries.revoke_others, match_user_id=user_id, session_id=keep, now=now)
        self._cache.invalidate(tx, user_tag(user_id))

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of expired sessions with their refresh tokens. Returns the number of sessions."""
        return await self._database.in_transaction(lambda tx: self._delete_expired(tx, now))

    async def _delete_expired(self, tx: Transaction, now: datetime) -> int:
        ids = await tx.all(queries.expired, before=min_id_at(now - self._lifetime - EXPIRED_SESSION_RETENTION))
        if ids:
            await tx.run(queries.delete_tokens, ids=ids)
            await tx.run(queries.delete_sessions, ids=ids)
        return len(ids)

    async def _revoke(self, tx: Transaction, user_id: UUID, session_id: UUID, now: datetime) -> int:
        self._cache.invalidate(tx, _session_tag(session_id))
        return await tx.run(queries.revoke, session_id=session_id, match_user_id=user_id, now=now)

    async def _insert_token(self, tx: Transaction, token: str, session_id: UUID, now: datetime) -> None:
        digest = self._refresh_tokens.digest(token)
        await tx.run(queries.insert_token, token_hash=digest, session_id=session_id, created_at=now)

    async def _issue_tokens(self, tx: Transaction, user_id: UUID, session_id: UUID, refresh_token: str) -> BearerTokens:
        claims = await self._own_claims.read_in(tx, user_id)
        access_token = self._access_tokens.issue(user_id, session_id, claims=claims)
        return BearerTokens(access_token, refresh_token, self._access_tokens.ttl_seconds)


def _session_tag(session_id: UUID) -> str:
    return f"session:{session_id}"
