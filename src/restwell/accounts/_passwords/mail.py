"""The email with the reset code."""

from datetime import UTC, datetime, timedelta
from typing import Final

from restwell.accounts._codes import generate_token, hash_token
from restwell.accounts._mail import AccountMail
from restwell.accounts._passwords import queries
from restwell.accounts._users.service import UserService
from restwell.database import Database

TTL: Final = timedelta(minutes=30)


class PasswordResetMail:
    def __init__(self, database: Database, mail: AccountMail, users: UserService) -> None:
        self._database = database
        self._mail = mail
        self._users = users

    async def send_code(self, email: str, key: str) -> None:
        """Create a code for the account with this address and send it. Does nothing if there is none.

        Raises MailRefused, MailFailed.
        """
        user = await self._users.find_credentials(email)
        if user is None or not user.active:
            return
        code = generate_token()
        expires_at = datetime.now(UTC) + TTL
        await self._database.run(
            queries.insert_reset, code_hash=hash_token(code), user_id=user.id, expires_at=expires_at
        )
        await self._mail.notify(user.id, lambda emails: emails.password_reset(code, expires_at), key)
