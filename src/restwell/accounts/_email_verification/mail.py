"""Emails with a verification code, such as the welcome email, and the notice to the previous address."""

from uuid import UUID

from restwell.accounts._email_verification.tokens import create_code
from restwell.accounts._mail import AccountMail
from restwell.accounts._users.service import UserService
from restwell.database import Database


class VerificationMail:
    """All methods do nothing if the account is deleted. They raise MailRefused and MailFailed."""

    def __init__(self, database: Database, mail: AccountMail, users: UserService) -> None:
        self._database = database
        self._mail = mail
        self._users = users

    async def welcome(self, user_id: UUID, key: str) -> None:
        """Send the welcome email, with a code unless the address is verified."""
        user = await self._users.find_active(user_id)
        if user is None:
            return
        code = None if user.email_verified else await create_code(self._database, user_id, user.email)
        await self._mail.send(user.email, lambda emails: emails.welcome(code), key, user.language)

    async def send_code(self, user_id: UUID, email: str, key: str) -> None:
        """Create a code for the address and send it."""
        user = await self._users.find_active(user_id)
        if user is None:
            return
        code = await create_code(self._database, user_id, email)
        await self._mail.send(email, lambda emails: emails.email_verification(code), key, user.language)
