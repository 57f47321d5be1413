"""Mail: through an SMTP server, or, where there is none, into files that a developer can look at."""

import asyncio
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from msgspec import Struct

from restwell.errors import GiveUp

log = structlog.get_logger("restwell.mail")

SECONDS: Final = 30.0
"""The longest that handing over a mail may take."""
FOLDER: Final = Path("var/mail")


class MailRefused(GiveUp):
    """The server will never take this mail: its address does not exist, say."""


class MailFailed(Exception):
    """It could not be handed over now. The next attempt may succeed; nothing has been sent."""


class Mail(Struct, frozen=True):
    """A mail to one person, as plain text and as HTML, of which their program shows one.

    ``key`` tells it from every other: it becomes the Message-ID, by which a repeat can be known.
    """

    to: str
    to_name: str
    subject: str
    text: str
    html: str
    key: str


class Mailer(ABC):
    """``sender`` is an address, or a name and an address: ``Shop <shop@example.com>``."""

    def __init__(self, sender: str) -> None:
        name, address = _split(sender)
        self._sender = Address(name, addr_spec=address)

    @abstractmethod
    async def send(self, mail: Mail) -> None:
        """Hand the mail over, and return when it has been taken. Raises MailRefused, MailFailed."""

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(SMTP)
        message["From"] = self._sender
        try:
            message["To"] = Address(mail.to_name, addr_spec=mail.to)
            message["Subject"] = mail.subject
        except ValueError as error:
            raise MailRefused(f"not an address, or not a header: {error}") from error
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = f"<{mail.key}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers it
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message


class SmtpMailer(Mailer):
    """``smtps://user:password@host:465`` speaks TLS from the start, ``smtp://...:587`` must be able to begin it (STARTTLS).

    Only ``smtp+plain://``, for a relay on the same machine, goes without. The server's certificate is checked.
    """

    def __init__(self, url: str, sender: str) -> None:
        super().__init__(sender)
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._tls = parts.scheme == "smtps"
        self._start_tls = parts.scheme == "smtp"
        self._port = parts.port or {"smtps": 465, "smtp": 587}.get(parts.scheme, 25)
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, mail: Mail) -> None:
        message = self._message(mail)
        try:
            async with asyncio.timeout(SECONDS):
                await aiosmtplib.send(
                    message,
                    hostname=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password,
                    use_tls=self._tls,
                    start_tls=self._start_tls,
                    timeout=SECONDS,
                )
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            refusals = error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]
            if all(one.code >= 500 for one in refusals):  # RFC 5321 4.2.1: 5yz is for good, 4yz for now
                raise MailRefused(str(error)) from error
            raise MailFailed(str(error)) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailFailed(f"{self._host}:{self._port}: {error!r}") from error


class FolderMailer(Mailer):
    """Writes each mail to a file that any mail program opens."""

    def __init__(self, folder: Path, sender: str) -> None:
        super().__init__(sender)
        self._folder = folder

    async def send(self, mail: Mail) -> None:
        message = self._message(mail)
        file = self._folder / f"{mail.key}.eml"
        await asyncio.to_thread(_write, file, message.as_bytes())
        log.info("mail_written", to=mail.to, subject=mail.subject, file=str(file))


def open_mailer(smtp_url: str | None, sender: str) -> Mailer:
    """Through ``smtp_url``, or, where that is None, into FOLDER."""
    return SmtpMailer(smtp_url, sender) if smtp_url is not None else FolderMailer(FOLDER, sender)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _split(sender: str) -> tuple[str, str]:
    """The name and the address of ``Name <address>``, or of an address alone. Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(?:(?P<name>[^<>@]*?)\s*<)?(?P<address>[^<>@\s]+@[^<>@\s]+?)(?(name)>)\s*", sender)
    if found is None:
        raise ValueError("must be an address, or a name and an address: Shop <shop@example.com>")
    return found["name"] or "", found["address"]
