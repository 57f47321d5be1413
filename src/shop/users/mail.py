"""What the shop writes to its users."""

from uuid import UUID

from restwell.database import Database
from restwell.mail import Mailer
from shop.email_templates import render_email
from shop.email_verifications.tokens import code_for
from shop.users import queries


class AccountMail:
    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database = database
        self._mailer = mailer

    async def welcome(self, user_id: UUID, key: str) -> None:
        """Greet a new user. Raises MailRefused, MailFailed, as all here."""
        user = await self._database.primary.find(queries.by_id, id=user_id)
        if user is None or user.email_verified:
            paragraphs = ["Your account is ready. You can sign in as you just did."]
        else:
            paragraphs = [
                "Your account is ready. You can sign in with this address. To show that it is yours, send us this code:",
                await code_for(self._database, user_id, user.email),
                "If this was not you, someone typed your address by mistake: do not use the code, and nothing comes of it.",
            ]
        await self._write(user_id, "Welcome to the shop", *paragraphs, key=key)

    async def password_changed(self, user_id: UUID, key: str) -> None:
        """Tell the owner, who may not be the one who did it."""
        await self._write(
            user_id,
            "Your password was changed",
            "The password of your account was changed just now, and all other devices were signed out.",
            "If this was not you, ask for a new password at once: whoever did it knows the old one.",
            key=key,
        )

    async def second_factor(self, user_id: UUID, key: str, *, active: bool) -> None:
        """Tell the owner that it is asked for from now on, or no more."""
        done = (
            "From now on signing in to your account needs a code of your app."
            if active
            else "Signing in to your account needs no code any more."
        )
        subject = "Your second factor was " + ("added" if active else "removed")
        advice = "If this was not you, choose a new password at once: whoever did it knows the old one."
        await self._write(user_id, subject, done, advice, key=key)

    async def identity_linked(self, user_id: UUID, provider: str, key: str) -> None:
        """Tell the owner of a new way in."""
        await self._write(
            user_id,
            "A new way to sign in",
            f"From now on your account can be signed in to with {provider}.",
            "If this was not you, remove it there, choose a new password, and sign out everywhere.",
            key=key,
        )

    async def _write(self, user_id: UUID, subject: str, *paragraphs: str, key: str) -> None:
        """To nobody, if the account is gone."""
        user = await self._database.primary.find(queries.by_id, id=user_id)
        if user is not None and user.active:
            await self._mailer.send(render_email(to=user.email, subject=subject, paragraphs=paragraphs, key=key))
