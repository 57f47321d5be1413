"""Sign-in with identity providers, and linking them to accounts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._identities import queries
from restwell.accounts._identities.jobs import send_identity_linked
from restwell.accounts._identities.schemas import LinkedIdentity, OAuthCallback
from restwell.accounts._options import AccountOptions
from restwell.accounts._personal_data import PersonalValue
from restwell.accounts._sessions.schemas import BearerTokens
from restwell.accounts._sessions.service import SessionService
from restwell.accounts._users.invited import InvitedAccounts
from restwell.accounts._users.names import account_name
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import UserService
from restwell.auth import Actor, ClientInfo
from restwell.auth.oauth import AuthorizationFlow, AuthorizationFlows, Identity, InvalidSignIn, Providers, SignInRefused
from restwell.database import Database, Transaction, UniqueViolation
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError, Conflict, NotFound
from restwell.jobs import Jobs
from restwell.settings import Settings


class AccountExists(Conflict):
    code = "account_exists"
    message = (
        "An account with this email address exists. Sign in with its password, verify its email address, and link this"
        " provider then."
    )


class IdentityTaken(Conflict):
    code = "identity_taken"
    message = "The identity is linked to another account, or another identity of this provider is linked to yours."


class LastCredential(Conflict):
    code = "last_credential"
    message = "This is the only credential of your account. Link another provider, or set a password with a reset."


class IdentityService(PersonalValue):
    member = "identities"

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        providers: Providers,
        flows: AuthorizationFlows,
        sessions: SessionService,
        users: UserService,
        invited: Sequence[InvitedAccounts],
        hooks: AccountHooks,
        audit: AuditLog,
        options: AccountOptions,
        settings: Settings,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._providers = providers
        self._flows = flows
        self._sessions = sessions
        self._users = users
        self._invited = invited
        self._audit = audit
        self._public_url = settings.public_url
        self._registration = options.registration
        hooks.on_credentials_reset.append(self.delete_in)
        hooks.on_deleted.append(self.delete_in)

    async def read_personal_value(self, owner: Actor) -> list[LinkedIdentity]:
        return await self.list_identities(owner)

    @property
    def providers(self) -> list[str]:
        """The names of the configured providers."""
        return self._providers.names

    async def start(
        self, provider: str, prefix: str, *, return_to: str | None = None, user_id: UUID | None = None
    ) -> tuple[AuthorizationFlow, str]:
        """Start the authorization code flow. Returns it with the URL of the provider.

        ``prefix``: the path of the API, below which the callback is. With a ``user_id``, the flow links the identity to
        that user instead of signing in. Raises NotFound.
        """
        provider_client = self._providers.get(provider)
        flow = self._flows.start(provider, return_to=return_to, user_id=user_id)
        return flow, await provider_client.authorization_url(flow, self._redirect_uri(provider, prefix))

    def resume(self, provider: str, cookie: str, callback: OAuthCallback) -> AuthorizationFlow:
        """Restore the flow of a callback. Raises NotFound, InvalidSignIn."""
        self._providers.get(provider)
        return self._flows.resume(cookie, provider, callback.state)

    async def complete(
        self, flow: AuthorizationFlow, prefix: str, callback: OAuthCallback, client_info: ClientInfo
    ) -> tuple[str | None, BearerTokens | None]:
        """Sign in, or link the identity. Returns the URL to redirect to and the tokens of the new session.

        With a ``return_to``, an error is reported in its query. Without one, raises InvalidSignIn, SignInRefused,
        AccountExists, IdentityTaken, ProviderUnavailable.
        """
        try:
            return flow.location(), await self._sign_in_or_link(flow, prefix, callback, client_info)
        except AppError as error:
            location = flow.location(error.code)
            if location is None:
                raise
            return location, None

    async def _sign_in_or_link(
        self, flow: AuthorizationFlow, prefix: str, callback: OAuthCallback, client_info: ClientInfo
    ) -> BearerTokens | None:
        if callback.error is not None:
            raise SignInRefused
        if callback.code is None:
            raise InvalidSignIn
        provider_client = self._providers.get(flow.provider)
        identity = await provider_client.identify(
            callback.code, flow, self._redirect_uri(flow.provider, prefix), callback.iss
        )
        try:
            async with self._database.transaction() as tx:
                if flow.user_id is not None:
                    await self._link(tx, flow.user_id, identity)
                    return None
                user_id = await self._find_or_register(tx, identity, client_info)
                _, tokens = await self._sessions.open_in(tx, user_id, client_info, f"with: {identity.provider}")
                return tokens
        except UniqueViolation:
            raise (AccountExists if flow.user_id is None else IdentityTaken) from None

    async def list_identities(self, actor: Actor) -> list[LinkedIdentity]:
        """Return the caller's identities, ordered by provider."""
        return await self._database.all(queries.of_user, user_id=actor.id)

    async def unlink(self, actor: Actor, provider: str) -> None:
        """Remove the identity from the caller's account. Raises NotFound, LastCredential."""
        async with self._database.transaction() as tx:
            user = await self._users.lock_credentials_in(tx, actor.id)
            has_password = user is not None and user.password_hash is not None
            if not await tx.run(queries.unlink, match_user_id=actor.id, provider=provider, has_password=has_password):
                linked = await tx.all(queries.of_user, user_id=actor.id)
                raise LastCredential if provider in {one.provider for one in linked} else NotFound
            await self._audit.record(tx, SecurityEventType.IDENTITY_UNLINKED, actor.id, detail=provider)

    async def delete_in(self, tx: Transaction, user_id: UUID) -> None:
        """Delete all identities of the user, in the caller's transaction."""
        await tx.run(queries.delete_all, match_user_id=user_id)

    async def _find_or_register(self, tx: Transaction, identity: Identity, client_info: ClientInfo) -> UUID:
        """Return the user id: linked before, matched by an email address that both sides have verified, or new."""
        linked_user = await tx.find(queries.linked_user, provider=identity.provider, subject=identity.subject)
        if linked_user is not None:
            if not linked_user.active:
                raise SignInRefused("This account is deactivated.")
            return linked_user.id
        email = _email(identity)
        if email is None:
            raise SignInRefused("The provider returned no email address. Grant access to it and sign in again.")
        existing_user = await self._users.find_credentials(email, tx)
        if existing_user is None:
            user = await self._register(tx, identity, email, client_info.accept_language)
            await self._link(tx, user.id, identity, is_new=True)
            return user.id
        # Without both verifications, an attacker who registers the victim's address first could take over the account.
        if not (identity.email_verified and existing_user.email_verified and existing_user.active):
            raise AccountExists
        await self._link(tx, existing_user.id, identity)
        return existing_user.id

    async def _register(self, tx: Transaction, identity: Identity, email: EmailAddress, accept_language: str) -> User:
        name = account_name(identity.name, email)
        if self._registration == "open":
            return await self._users.register_in(
                tx, email, name, email_verified=identity.email_verified, accept_language=accept_language
            )
        # Without the verification by the provider, anybody could claim the invitation of somebody else.
        for invited in self._invited if identity.email_verified else ():
            if (user := await invited.register_invited_in(tx, email, name, accept_language)) is not None:
                return user
        raise SignInRefused("There is no account for this identity, and registration is not open.")

    async def _link(self, tx: Transaction, user_id: UUID, identity: Identity, *, is_new: bool = False) -> None:
        await tx.run(
            queries.insert_identity,
            provider=identity.provider,
            subject=identity.subject,
            user_id=user_id,
            email=_email(identity),
            created_at=datetime.now(UTC),
        )
        await self._audit.record(tx, SecurityEventType.IDENTITY_LINKED, user_id, detail=identity.provider)
        if not is_new:
            await self._jobs.enqueue(tx, send_identity_linked, user_id=user_id, provider=identity.provider)

    def _redirect_uri(self, provider: str, prefix: str) -> str:
        return f"{self._public_url}{prefix}/identities/{provider}/callback"


def _email(identity: Identity) -> EmailAddress | None:
    """Return None for a missing or invalid address."""
    try:
        return EmailAddress.parse(identity.email) if identity.email is not None else None
    except ValueError:
        return None
