"""Emails with a verification code, such as the welcome email, and the notice to the previous address."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.email_verifications.tokens import create_code
from shop.users.service import UserService


class VerificationMail:
    def __init__(self, database: Database, mailer: Mailer, users: UserService) -> None:
        self._database = database
        self._users = users
        self._mailer = mailer

    async def welcome(self, user_id: UUID, key: str) -> None:
        """Send the welcome email, with a code unless the address is verified. Does nothing if the account is deleted.

        Raises MailRefused, MailFailed.
        """
        user = await self._users.find_active(user_id)
        if user is None:
            return
        if user.email_verified:
            paragraphs = ["Your account is ready. You can sign in with your identity provider."]
        else:
            paragraphs = [
                "Your account is ready. This is the code to verify your email address:",
                await create_code(self._database, user_id, user.email),
                "If you did not register, ignore this email and do not use the code.",
            ]
        subject = "Welcome to the shop"
        await self._mailer.send(render_email(to=user.email, subject=subject, paragraphs=paragraphs, key=key))

    async def send_code(self, user_id: UUID, email: str, key: str) -> None:
        """Create a code for the address and send it. Does nothing if the account is deleted.

        Raises MailRefused, MailFailed.
        """
        if await self._users.find_active(user_id) is None:
            return
        paragraphs = [
            "This is the code to verify your email address:",
            await create_code(self._database, user_id, email),
            "It can be used once, within 24 hours. If you did not request it, ignore this email.",
        ]
        subject = "Verify your email address"
        await self._mailer.send(render_email(to=email, subject=subject, paragraphs=paragraphs, key=key))

    async def notify_old_address(self, email: str, key: str) -> None:
        """Notify the previous address: its owner may not have made the change."""
        paragraphs = [
            "The email address of your account was changed. Emails are now sent to the new address.",
            "If you did not make this change, your password is compromised: reply to this email immediately.",
        ]
        subject = "Your email address was changed"
        await self._mailer.send(render_email(to=email, subject=subject, paragraphs=paragraphs, key=key))
