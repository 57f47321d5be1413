"""What the shop writes to its users."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.letters import letter
from shop.users import queries


class AccountMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def welcome(self, user_id: UUID, key: str) -> None:
        """Greet a new user; nobody, if the account is gone. Raises MailRefused, MailFailed."""
        user = await self._database.primary.find(queries.by_id, id=user_id)
        if user is None or not user.active:
            return
        paragraphs = [
            "Your account is ready. You can sign in with this address and the password you chose.",
            "If this was not you, someone typed your address by mistake; there is nothing you need to do.",
        ]
        await self._mailer.send(
            letter(to=user.email, name=user.name, subject="Welcome to the shop", paragraphs=paragraphs, key=key)
        )
