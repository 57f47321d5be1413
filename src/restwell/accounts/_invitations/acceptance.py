from restwell.accounts._invitations.schemas import InvitationAcceptanceRequest
from restwell.accounts._invitations.service import InvitationService
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import EmailTaken
from restwell.auth import Passwords
from restwell.database import Database, UniqueViolation


class InvitationAcceptance:
    """Creates the account of an invited person with a password."""

    def __init__(self, database: Database, passwords: Passwords, invitations: InvitationService) -> None:
        self._database = database
        self._passwords = passwords
        self._invitations = invitations

    async def accept(self, request: InvitationAcceptanceRequest, accept_language: str) -> User:
        """Create the account. Raises InvalidInvitationCode, EmailTaken, PasswordRejected, PasswordsBusy."""
        invitation = await self._invitations.find_by_code(request.code)
        password_hash = await self._passwords.hash_new(request.password, invitation.email, request.name)
        try:
            async with self._database.transaction() as tx:
                return await self._invitations.accept_in(tx, request, password_hash, accept_language)
        except UniqueViolation:
            raise EmailTaken from None
