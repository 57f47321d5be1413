"""The mail with the code."""

from datetime import UTC, datetime, timedelta
from typing import Final

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.one_time_tokens import generate_token, hash_token
from shop.password_resets import queries

LIFETIME: Final = timedelta(minutes=30)


class PasswordResetMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def send_code(self, email: str, key: str) -> None:
        """Make a code for the account of that address and send it there; where there is none, do nothing.

        Raises MailRefused, MailFailed.
        """
        user = await self._database.primary.find(queries.by_email, email=email)
        if user is None:
            return
        code = generate_token()
        expires_at = datetime.now(UTC) + LIFETIME
        await self._database.run(
            queries.insert_reset, code_hash=hash_token(code), user_id=user.id, expires_at=expires_at
        )
        paragraphs = [
            "Someone, hopefully you, wants to choose a new password for your account. This is the code for it:",
            code,
            f"It works once, until {expires_at:%H:%M} UTC. If it was not you, there is nothing you need to do.",
        ]
        await self._mailer.send(
            render_email(to=user.email, subject="Your new password", paragraphs=paragraphs, key=key)
        )
