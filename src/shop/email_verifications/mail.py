"""The mails around an address: the code for it, and what its old owner is told."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.email_verifications import queries
from shop.email_verifications.tokens import code_for


class VerificationMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def send_code(self, user_id: UUID, email: str, key: str) -> None:
        """Make a code for that address of the account and send it there; where there is no account any more, do nothing.

        Raises MailRefused, MailFailed.
        """
        if await self._database.primary.find(queries.address, user_id=user_id) is None:
            return
        paragraphs = [
            "This is the code that confirms that this address is yours:",
            await code_for(self._database, user_id, email),
            "It works once, for 24 hours. If it was not you who asked for it, there is nothing you need to do.",
        ]
        subject = "Confirm your address"
        await self._mailer.send(render_email(to=email, subject=subject, paragraphs=paragraphs, key=key))

    async def notify_old_address(self, email: str, key: str) -> None:
        """Whoever reads the old address may not be who has changed it."""
        paragraphs = [
            "The address of your account was changed just now, and mails go to the new one from now on.",
            "If this was not you, whoever did it knows your password: answer this mail at once.",
        ]
        subject = "Your address was changed"
        await self._mailer.send(render_email(to=email, subject=subject, paragraphs=paragraphs, key=key))
