"""Rules of signing in, staying signed in and signing out."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.auth import AccessTokens, Actor, Claims, ClientInfo, Passwords, RefreshTokens
from restwell.cache import Cache
from restwell.database import Database, Transaction
from restwell.errors import NotFound, Unauthorized
from restwell.ids import new_id
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.mfa.verification import InvalidMfaCode, MfaVerification
from shop.sessions import queries
from shop.sessions.login_throttle import LoginThrottle, throttle_key
from shop.sessions.queries import ActiveSession
from shop.sessions.schemas import BearerTokens, Session, SignInRequest

CACHE_TTL_SECONDS: Final = 60
REFRESH_GRACE: Final = timedelta(seconds=10)
"""How long after its use a refresh token still answers, for a client that lost the answer."""


class InvalidCredentials(Unauthorized):
    code, message = "invalid_credentials", "The email or the password is wrong."


class InvalidRefreshToken(Unauthorized):
    code, message = "invalid_refresh_token", "The refresh token is not valid any more. Sign in again."


class SessionService:
    def __init__(
        self,
        database: Database,
        cache: Cache,
        passwords: Passwords,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        second_factor: MfaVerification,
        audit: AuditLog,
        *,
        lifetime_seconds: int,
        idle_seconds: int,
    ) -> None:
        self._database = database
        self._throttle = LoginThrottle(database)
        self._cache = cache
        self._passwords = passwords
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._second_factor = second_factor
        self._audit = audit
        self._lifetime = timedelta(seconds=lifetime_seconds)
        self._idle = timedelta(seconds=idle_seconds)

    async def sign_in(self, attempt: SignInRequest, client_info: ClientInfo) -> tuple[UUID, BearerTokens]:
        """Open a session. Raises InvalidCredentials, alike and as slowly for an unknown user as for a wrong password, TooManyAttempts.

        Of a user with a second factor it wants that, too: raises MfaRequired, InvalidMfaCode.
        """
        subject = throttle_key(attempt.email, client_info.ip_address)
        await self._throttle.check(subject)
        user = await self._database.primary.find(queries.credentials, email=attempt.email)
        hashed = user.password_hash if user is not None and user.active else None
        if not await self._passwords.verify(attempt.password, hashed) or user is None or hashed is None:
            await self._failed(subject, user.id if user is not None else None, client_info)
            raise InvalidCredentials
        new_hash = await self._passwords.hash(attempt.password) if self._passwords.needs_rehash(hashed) else None
        try:
            async with self._database.transaction() as tx:
                locked = await tx.find(queries.lock_credentials, user_id=user.id)
                if locked is None or not locked.active or locked.password_hash != hashed:
                    raise InvalidCredentials  # it was changed while the password was looked at
                await self._second_factor.verify_in(tx, user.id, attempt.code)
                if new_hash is not None:
                    await tx.run(queries.set_password_hash, user_id=user.id, password_hash=new_hash)
                await self._throttle.reset_in(tx, subject)
                return await self.open_in(tx, user.id, client_info)
        except InvalidMfaCode:
            await self._second_factor.failed(user.id)
            await self._failed(subject, user.id, client_info)
            raise

    async def open_in(
        self, tx: Transaction, user_id: UUID, client_info: ClientInfo, how: str | None = None
    ) -> tuple[UUID, BearerTokens]:
        """Open a session for who has been found to be this user, as part of a larger change."""
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
            tx, SecurityEventType.SIGNED_IN, user_id, ip_address=client_info.ip_address, detail=how
        )
        return session_id, self._issue_tokens(user_id, session_id, token)

    async def refresh(self, token: str) -> BearerTokens:
        """Replace a refresh token by its successor, once.

        Of any number of concurrent calls one rotates; the others, and repeats within REFRESH_GRACE, get the same
        successor. Later use is taken for theft: the session ends, committed, and InvalidRefreshToken is raised.
        """
        digest = self._refresh_tokens.digest(token)
        successor = self._refresh_tokens.successor(token)
        now = datetime.now(UTC)
        async with self._database.transaction() as tx:
            session_id = await tx.find(queries.use_token, match_hash=digest, now=now)
            if session_id is not None:
                user_id = await tx.find(queries.touch, session_id=session_id, now=now, idle_since=now - self._idle)
                if user_id is None:
                    raise InvalidRefreshToken
                await self._insert_token(tx, successor, session_id, now)
                return self._issue_tokens(user_id, session_id, successor)
            spent = await tx.find(queries.used_token, match_hash=digest, now=now, idle_since=now - self._idle)
            if spent is not None and now - spent.used_at <= REFRESH_GRACE:
                return self._issue_tokens(spent.user_id, spent.session_id, successor)
            if spent is not None:
                await self._end(tx, spent.user_id, spent.session_id, now)
                await self._audit.record(tx, SecurityEventType.REFRESH_TOKEN_REUSED, spent.user_id)
        # Raised after the commit: the revocation stays, whatever becomes of this answer.
        raise InvalidRefreshToken

    async def get_actor(self, claims: Claims, session_id: UUID) -> Actor:
        """The user behind a token of this session, with the role of this moment. Raises Unauthorized, also once signed out."""
        session = await self._cache.get_or_load(
            _session(session_id),
            lambda: self._database.primary.find(queries.by_id, id=session_id),
            kind=ActiveSession | None,
            tags=[_session(session_id), f"user:{claims.sub}"],
            ttl_seconds=CACHE_TTL_SECONDS,
        )
        if session is None or session.user_id != claims.sub or session.expires_at <= datetime.now(UTC):
            raise Unauthorized("The session has ended. Sign in again.")
        return Actor(session.user_id, session.role, session_id)

    async def list_sessions(self, actor: Actor) -> list[Session]:
        """The caller's open sessions, newest first."""
        now = datetime.now(UTC)
        rows = await self._database.all(queries.of_user, user_id=actor.id, now=now, idle_since=now - self._idle)
        return [
            Session(
                row.id, row.user_agent, row.ip_address, row.created_at, row.last_used_at, row.id == actor.session_id
            )
            for row in rows
        ]

    async def end(self, actor: Actor, session_id: UUID) -> None:
        """Sign one of the caller's devices out. Raises NotFound for any other session, or one that has ended."""
        async with self._database.transaction() as tx:
            if not await self._end(tx, actor.id, session_id, datetime.now(UTC)):
                raise NotFound
            await self._audit.record(tx, SecurityEventType.SIGNED_OUT, actor.id)

    async def end_all(self, actor: Actor) -> None:
        """Sign every device of the caller out."""
        async with self._database.transaction() as tx:
            await self.end_all_in(tx, actor.id)
            await self._audit.record(tx, SecurityEventType.SIGNED_OUT_EVERYWHERE, actor.id)

    async def end_all_in(self, tx: Transaction, user_id: UUID) -> None:
        """The same as part of a larger change."""
        await tx.run(queries.end_all, owner_id=user_id, now=datetime.now(UTC))
        self._cache.invalidate(tx, f"user:{user_id}")

    async def end_others_in(self, tx: Transaction, actor: Actor) -> None:
        """Sign the caller out on every device but this, as part of a larger change."""
        await tx.run(queries.end_others, owner_id=actor.id, session_id=actor.session_id, now=datetime.now(UTC))
        self._cache.invalidate(tx, f"user:{actor.id}")

    async def _failed(self, subject: bytes, user_id: UUID | None, client_info: ClientInfo) -> None:
        async with self._database.transaction() as tx:
            await self._throttle.record_failure_in(tx, subject)
            if user_id is not None:  # what nobody can delete for a year must not grow by names that are made up
                await self._audit.record(
                    tx, SecurityEventType.SIGN_IN_FAILED, user_id, ip_address=client_info.ip_address
                )

    async def _end(self, tx: Transaction, user_id: UUID, session_id: UUID, now: datetime) -> int:
        self._cache.invalidate(tx, _session(session_id))
        return await tx.run(queries.end, session_id=session_id, owner_id=user_id, now=now)

    async def _insert_token(self, tx: Transaction, token: str, session_id: UUID, now: datetime) -> None:
        digest = self._refresh_tokens.digest(token)
        await tx.run(queries.insert_token, token_hash=digest, session_id=session_id, created_at=now)

    def _issue_tokens(self, user_id: UUID, session_id: UUID, refresh_token: str) -> BearerTokens:
        access_token = self._access_tokens.issue(user_id, session_id)
        return BearerTokens(access_token, refresh_token, self._access_tokens.ttl_seconds)


def _session(session_id: UUID) -> str:
    return f"session:{session_id}"
