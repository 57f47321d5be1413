"""Rules of signing in elsewhere."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from restwell.auth import Actor, ClientInfo
from restwell.auth.oauth import AuthorizationFlow, AuthorizationFlows, Identity, InvalidSignIn, Providers, SignInRefused
from restwell.database import Database, Transaction, UniqueViolation
from restwell.email_addresses import EmailAddress
from restwell.errors import Conflict, NotFound
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog
from shop.identities import queries
from shop.identities.schemas import LinkedIdentity, OAuthCallback
from shop.sessions.schemas import BearerTokens
from shop.sessions.service import SessionService
from shop.users.service import UserService

_MAX_NAME: Final = 200


class AccountExists(Conflict):
    code = "account_exists"
    message = "An account with this address exists. Sign in with its password, confirm its address, and add this provider then."


class IdentityTaken(Conflict):
    code = "identity_taken"
    message = (
        "This account of the provider is another's here, or you have one of that provider already. Remove that first."
    )


class LastCredential(Conflict):
    code = "last_credential"
    message = "You could not sign in any more. Choose a password first, by POST /v1/password-resets."


class IdentityService:
    def __init__(
        self,
        database: Database,
        providers: Providers,
        flows: AuthorizationFlows,
        sessions: SessionService,
        users: UserService,
        audit: AuditLog,
        *,
        public_url: str,
    ) -> None:
        self._database = database
        self._providers = providers
        self._flows = flows
        self._sessions = sessions
        self._users = users
        self._audit = audit
        self._public_url = public_url

    @property
    def providers(self) -> list[str]:
        """The names of those that one may sign in with."""
        return self._providers.names

    async def begin(
        self, provider: str, *, return_to: str | None = None, user_id: UUID | None = None
    ) -> tuple[AuthorizationFlow, str]:
        """A flow for the browser to keep, and where it goes now. With a user, to add a way to sign in. Raises NotFound."""
        found = self._providers.get(provider)
        flow = self._flows.start(provider, return_to=return_to, user_id=user_id)
        return flow, await found.authorization_url(flow, self._redirect_uri(provider))

    def resume(self, provider: str, cookie: str, answer: OAuthCallback) -> AuthorizationFlow:
        """The flow that the provider answers to. Raises NotFound, InvalidSignIn."""
        self._providers.get(provider)
        return self._flows.resume(cookie, provider, answer.state)

    async def finish(
        self, flow: AuthorizationFlow, answer: OAuthCallback, client_info: ClientInfo
    ) -> tuple[UUID, BearerTokens] | None:
        """Sign in, or add the identity to its account and return None.

        Raises InvalidSignIn, SignInRefused, AccountExists, IdentityTaken, ProviderUnavailable.
        """
        if answer.error is not None:
            raise SignInRefused
        if answer.code is None:
            raise InvalidSignIn
        found = self._providers.get(flow.provider)
        identity = await found.identify(answer.code, flow, self._redirect_uri(flow.provider), answer.iss)
        try:
            async with self._database.transaction() as tx:
                if flow.user_id is not None:
                    await self._link(tx, flow.user_id, identity)
                    return None
                user_id = await self._find(tx, identity)
                return await self._sessions.open_in(tx, user_id, client_info, f"with: {identity.provider}")
        except UniqueViolation:
            raise (AccountExists if flow.user_id is None else IdentityTaken) from None

    async def list_identities(self, actor: Actor) -> list[LinkedIdentity]:
        """The caller's, by provider."""
        return await self._database.all(queries.of_user, user_id=actor.id)

    async def unlink(self, actor: Actor, provider: str) -> None:
        """Sign in with it no more. Raises NotFound, LastCredential."""
        async with self._database.transaction() as tx:
            await tx.find(queries.lock_user, owner_id=actor.id)
            if not await tx.run(queries.unlink, owner_id=actor.id, provider=provider):
                linked = await tx.all(queries.of_user, user_id=actor.id)
                raise LastCredential if provider in {one.provider for one in linked} else NotFound
            await self._audit.record(tx, SecurityEventType.IDENTITY_UNLINKED, actor.id, detail=provider)

    async def _find(self, tx: Transaction, identity: Identity) -> UUID:
        """Whose it is here: known before, by an address that both sides have seen proven, or new."""
        owner = await tx.find(queries.owner, provider=identity.provider, subject=identity.subject)
        if owner is not None:
            if not owner.active:
                raise SignInRefused("This account is switched off.")
            return owner.id
        email = _email(identity)
        if email is None:
            raise SignInRefused("The provider gave no address for you. Let it, and sign in again.")
        existing_user = await tx.find(queries.existing_user, email=email)
        if existing_user is None:
            user = await self._users.register_in(
                tx, email, _name(identity, email), email_verified=identity.email_verified
            )
            await self._link(tx, user.id, identity, welcome=True)
            return user.id
        # Without both proofs, whoever registered the address first, here or there, would get in on the other's account.
        if not (identity.email_verified and existing_user.email_verified and existing_user.active):
            raise AccountExists
        await self._link(tx, existing_user.id, identity)
        return existing_user.id

    async def _link(self, tx: Transaction, user_id: UUID, identity: Identity, *, welcome: bool = False) -> None:
        await tx.run(
            queries.insert_identity,
            provider=identity.provider,
            subject=identity.subject,
            user_id=user_id,
            email=_email(identity),
            created_at=datetime.now(UTC),
        )
        await self._audit.record(tx, SecurityEventType.IDENTITY_LINKED, user_id, detail=identity.provider)
        if not welcome:
            await self._users.notify_identity_linked_in(tx, user_id, identity.provider)

    def _redirect_uri(self, provider: str) -> str:
        return f"{self._public_url}/v1/identities/{provider}/callback"


def _email(identity: Identity) -> EmailAddress | None:
    """None also for what is no address."""
    try:
        return EmailAddress.parse(identity.email) if identity.email is not None else None
    except ValueError:
        return None


def _name(identity: Identity, email: str) -> str:
    printable = "".join(filter(str.isprintable, identity.name)).strip()
    return printable[:_MAX_NAME] or email.partition("@")[0]
