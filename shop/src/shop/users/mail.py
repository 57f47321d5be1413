"""Emails about accounts."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.users import queries


class AccountMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def password_changed(self, user_id: UUID, key: str) -> None:
        """Notify the owner of a changed password. All methods raise MailRefused and MailFailed."""
        await self._send(
            user_id,
            "Your password was changed",
            "The password of your account was changed, and all other devices were signed out.",
            "If you did not make this change, reset your password immediately.",
            key=key,
        )

    async def mfa_changed(self, user_id: UUID, key: str, *, active: bool) -> None:
        """Notify the owner that MFA was enabled or disabled."""
        change = (
            "Signing in to your account now requires a code from your authenticator app."
            if active
            else "Signing in to your account no longer requires a code."
        )
        subject = "Multi-factor authentication was " + ("enabled" if active else "disabled")
        advice = "If you did not make this change, change your password immediately."
        await self._send(user_id, subject, change, advice, key=key)

    async def identity_linked(self, user_id: UUID, provider: str, key: str) -> None:
        """Notify the owner of a linked identity provider."""
        await self._send(
            user_id,
            "A sign-in method was added",
            f"You can now sign in to your account with {provider}.",
            "If you did not make this change, remove it, change your password and sign out on all devices.",
            key=key,
        )

    async def _send(self, user_id: UUID, subject: str, *paragraphs: str, key: str) -> None:
        """Does nothing if the account is deleted."""
        user = await self._database.primary.find(queries.by_id, id=user_id)
        if user is not None and user.active:
            await self._mailer.send(render_email(to=user.email, subject=subject, paragraphs=paragraphs, key=key))
