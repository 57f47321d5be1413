"""The email with the reset code."""

from datetime import UTC, datetime, timedelta
from typing import Final

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.one_time_tokens import generate_token, hash_token
from shop.password_resets import queries
from shop.users.service import UserService

TTL: Final = timedelta(minutes=30)


class PasswordResetMail:
    def __init__(self, database: Database, mailer: Mailer, users: UserService) -> None:
        self._database = database
        self._users = users
        self._mailer = mailer

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
        paragraphs = [
            "A password reset was requested for your account. This is the code to set a new password:",
            code,
            f"It can be used once, until {expires_at:%H:%M} UTC. If you did not request it, ignore this email.",
        ]
        await self._mailer.send(
            render_email(to=user.email, subject="Reset your password", paragraphs=paragraphs, key=key)
        )
