"""Sends emails about accounts."""

from collections.abc import Callable
from uuid import UUID

from restwell.accounts._emails import AccountEmails, EmailText
from restwell.accounts._options import AccountOptions
from restwell.accounts._users.service import UserService
from restwell.mail import Mailer, render_mail
from restwell.web import Feature


class AccountMail:
    """All methods raise MailRefused and MailFailed. ``key`` makes sending idempotent."""

    def __init__(self, mailer: Mailer, users: UserService, options: AccountOptions) -> None:
        self._mailer = mailer
        self._users = users
        self._languages = options.languages

    async def notify(self, user_id: UUID, text: Callable[[AccountEmails], EmailText], key: str) -> None:
        """Send a text to the address of the account, in its language. Does nothing if the account is deleted."""
        user = await self._users.find_active(user_id)
        if user is not None:
            await self.send(user.email, text, key, user.language)

    async def send(self, to: str, text: Callable[[AccountEmails], EmailText], key: str, language: str = "") -> None:
        """Send a text in a language of the application, by default the first."""
        language = self._languages.find(language)
        emails = self._languages.texts(language)
        subject, paragraphs = text(emails)
        await self._mailer.send(
            render_mail(
                to=to,
                subject=subject,
                paragraphs=paragraphs,
                key=key,
                greeting=emails.greeting,
                signature=emails.signature,
                language=language,
            )
        )


def mail() -> Feature:
    return Feature(services=[AccountMail])
