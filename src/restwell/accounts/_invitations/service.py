from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._codes import hash_token
from restwell.accounts._invitations import queries
from restwell.accounts._invitations.jobs import send_invitation
from restwell.accounts._invitations.queries import PendingInvitation
from restwell.accounts._invitations.schemas import Invitation, InvitationAcceptanceRequest, InvitationRequest
from restwell.accounts._users.invited import InvitedAccounts
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import EmailTaken, UserService
from restwell.auth import Actor
from restwell.database import Database, Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError, NotFound
from restwell.ids import new_id
from restwell.jobs import Jobs
from restwell.pages import Cursors, Page, PageFilter
from restwell.retention import DeletesExpired

TTL: Final = timedelta(days=7)


class InvalidInvitationCode(AppError):
    code, status = "invalid_invitation_code", 400
    message = "The code is invalid, already used, replaced, revoked, or expired after 7 days. Ask for a new invitation."


class InvitationService(DeletesExpired, InvitedAccounts):
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        cursors: Cursors,
        users: UserService,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._cursors = cursors
        self._users = users
        self._audit = audit

    async def invite(self, actor: Actor, request: InvitationRequest) -> Invitation:
        """Store an invitation, which replaces that of the same address, and queue its email. Raises EmailTaken."""
        now = datetime.now(UTC)
        invitation = Invitation(new_id(), request.email, request.role, actor.id, now, now + TTL)
        async with self._database.transaction() as tx:
            if await self._users.find_credentials(request.email, tx) is not None:
                raise EmailTaken("An account with this email exists.")
            await tx.run(
                queries.replace,
                email=invitation.email,
                id=invitation.id,
                role=invitation.role,
                invited_by=actor.id,
                created_at=now,
                expires_at=invitation.expires_at,
            )
            await self._record(
                tx, SecurityEventType.INVITATION_CREATED, invitation.id, invitation.role, actor_id=actor.id
            )
            await self._jobs.enqueue(tx, send_invitation, invitation_id=invitation.id)
        return invitation

    async def list_invitations(self, filters: PageFilter) -> Page[Invitation]:
        """Return a page of the invitations that are not accepted, oldest first."""
        return await self._cursors.fetch(self._database, queries.page, filters)

    async def revoke(self, actor: Actor, invitation_id: UUID) -> None:
        """Delete an invitation: its code is invalid immediately. Raises NotFound."""
        async with self._database.transaction() as tx:
            role = await tx.find(queries.revoke, invitation_id=invitation_id)
            if role is None:
                raise NotFound
            await self._record(tx, SecurityEventType.INVITATION_REVOKED, invitation_id, role, actor_id=actor.id)

    async def find_by_code(self, code: str) -> PendingInvitation:
        """Return the invitation without consuming it. Raises InvalidInvitationCode."""
        found = await self._database.primary.find(queries.by_code, match_hash=hash_token(code), now=datetime.now(UTC))
        if found is None:
            raise InvalidInvitationCode
        return found

    async def accept_in(
        self, tx: Transaction, request: InvitationAcceptanceRequest, password_hash: str, accept_language: str
    ) -> User:
        """Consume the invitation and create the account, in the caller's transaction.

        The code proves control of the address. Raises InvalidInvitationCode, UniqueViolation.
        """
        invitation = await tx.find(queries.use_code, match_hash=hash_token(request.code), now=datetime.now(UTC))
        if invitation is None:
            raise InvalidInvitationCode
        return await self._register_in(tx, invitation, request.name, accept_language, password_hash, request.profile)

    async def register_invited_in(self, tx: Transaction, email: str, name: str, accept_language: str) -> User | None:
        invitation = await tx.find(queries.use_email, match_email=email, now=datetime.now(UTC))
        return await self._register_in(tx, invitation, name, accept_language) if invitation is not None else None

    async def delete_expired(self, now: datetime) -> int:
        """Delete one batch of expired invitations. Returns their number."""
        return await self._database.run(queries.delete_expired, before=now)

    async def _register_in(
        self,
        tx: Transaction,
        invitation: PendingInvitation,
        name: str,
        accept_language: str,
        password_hash: str | None = None,
        profile: Struct | UnsetType = UNSET,
    ) -> User:
        user = await self._users.register_in(
            tx,
            EmailAddress.parse(invitation.email),
            name,
            password_hash=password_hash,
            email_verified=True,
            role=invitation.role,
            accept_language=accept_language,
            profile=profile,
        )
        await self._record(tx, SecurityEventType.INVITATION_ACCEPTED, invitation.id, invitation.role, user_id=user.id)
        return user

    async def _record(
        self,
        tx: Transaction,
        type_: SecurityEventType,
        invitation_id: UUID,
        role: str,
        *,
        user_id: UUID | None = None,
        actor_id: UUID | None = None,
    ) -> None:
        """Log the id instead of the address: who is invited has no account, and may never want one."""
        detail = f"invitation: {invitation_id}, role: {role}"
        await self._audit.record(tx, type_, user_id, actor_id=actor_id, detail=detail)
