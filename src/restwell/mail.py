"""Mail: through an SMTP server, or, where there is none, into files that a developer can look at."""

import asyncio
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from binascii import b2a_qp
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final
from unicodedata import category
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from msgspec import Struct

from restwell.email_addresses import EmailAddress, parse_mailbox
from restwell.errors import PermanentFailure

log = structlog.get_logger("restwell.mail")

SECONDS: Final = 30.0
"""The longest that handing over a mail may take."""
FOLDER: Final = Path("var/mail")
MAX_HEADER: Final = 500
"""How many characters of a name or a subject are sent."""

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9'!-]+(?: [A-Za-z0-9'!-]+)*)?", re.ASCII)
"""Words that mean themselves in a subject as in a name (RFC 5322 3.2.3), without the marks of an encoded word."""
_PLAIN_MAX: Final = 60
_WORD_BYTES: Final = 39
"""So many bytes make an encoded word of 64 characters: with a header's name, a line stays below the 76 of RFC 2047 2."""
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_NO_LINE: Final = {"Cc", "Cs", "Zl", "Zp"}
_BOUNDARY: Final = "=_alternative"
"""Never stands in quoted-printable text, which has a hexadecimal number after each ``=`` (RFC 2045 6.7)."""


class MailRefused(PermanentFailure):
    """The server will never take this mail: its address does not exist, say."""


class MailFailed(Exception):
    """It could not be handed over now. The next attempt may succeed; nothing has been sent."""


class Mail(Struct, frozen=True):
    """A mail to one person, as plain text and as HTML, of which their program shows one.

    ``to_name``, ``subject`` and ``text`` may be anything that a person has written. ``html`` is markup: what people have written is
    escaped by whoever makes it. ``key`` tells the mail from every other: letters, digits, ``-`` and ``_``. It becomes the Message-ID, by
    which a repeat can be known.
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
        self._sender_name, self._sender = parse_mailbox(sender)

    @abstractmethod
    async def send(self, mail: Mail) -> None:
        """Hand the mail over, and return when it has been taken. Raises MailRefused, MailFailed."""

    def _message(self, mail: Mail) -> tuple[str, bytes]:
        """The recipient's address and the whole message, in ASCII (RFC 5322, RFC 2045). Raises MailRefused.

        Each header is encoded from its plain value and never parsed: the email package of the standard library reads encoded words in
        values again, and then a name writes headers.
        """
        try:
            to = EmailAddress.parse(mail.to)
        except ValueError as error:
            raise MailRefused(f"not an address: {error}") from error
        if not _KEY.fullmatch(mail.key):
            raise MailRefused("the key of a mail has letters, digits, - and _, and at most 100 of them")
        headers = [
            f"From: {_mailbox(self._sender_name, self._sender)}",
            f"To: {_mailbox(mail.to_name, to)}",
            f"Subject: {_encoded(mail.subject)}",
            f"Date: {format_datetime(datetime.now(UTC))}",
            f"Message-ID: <{mail.key}@{self._sender.rpartition('@')[2]}>",
            "Auto-Submitted: auto-generated",  # RFC 3834: nobody's holiday notice answers it
            "MIME-Version: 1.0",
            f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"',
        ]
        parts = [*_part("plain", mail.text), *_part("html", mail.html), f"--{_BOUNDARY}--", ""]
        return to, "\r\n".join([*headers, "", *parts]).encode("ascii")


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
        to, message = self._message(mail)
        try:
            async with asyncio.timeout(SECONDS):
                await aiosmtplib.send(
                    message,
                    sender=self._sender,
                    recipients=[to],
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
        to, message = self._message(mail)
        file = self._folder / f"{mail.key}.eml"
        await asyncio.to_thread(_write, file, message)
        log.info("mail_written", to=to, subject=mail.subject, file=str(file))


def open_mailer(smtp_url: str | None, sender: str) -> Mailer:
    """Through ``smtp_url``, or into the folder that ``folder:path`` names; FOLDER, where it is None."""
    if smtp_url is None or smtp_url.startswith("folder:"):
        return FolderMailer(Path((smtp_url or "").removeprefix("folder:") or FOLDER), sender)
    return SmtpMailer(smtp_url, sender)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _mailbox(name: str, address: str) -> str:
    """A name and its address, the address on a line of its own where both are too long for one."""
    words = _encoded(name)
    if not words:
        return address
    return f"{words} <{address}>" if len(words) + len(address) < _PLAIN_MAX else f"{words}\r\n <{address}>"


def _encoded(text: str) -> str:
    """Any text as the value of a header: as it is where its words mean themselves, else as encoded words (RFC 2047) on lines of their own.

    What is no character of a line, such as a control character, half a character or a line's end, is a space in it.
    """
    line = "".join(" " if category(one) in _NO_LINE else one for one in text[:MAX_HEADER]).strip()
    if len(line) <= _PLAIN_MAX and _PLAIN.fullmatch(line):
        return line
    words, word = [], b""
    for one in line:
        character = one.encode()
        if len(word) + len(character) > _WORD_BYTES:
            words.append(word)
            word = b""
        word += character
    return "\r\n ".join(f"=?utf-8?b?{b64encode(one).decode()}?=" for one in (*words, word))


def _part(kind: str, text: str) -> list[str]:
    """One of the alternatives. Quoted-printable can be read in the file, and has no line that a server breaks."""
    lines = _LINE_END.split(text.encode("utf-8", "replace"))
    return [
        f"--{_BOUNDARY}",
        f'Content-Type: text/{kind}; charset="utf-8"',
        "Content-Transfer-Encoding: quoted-printable",
        "",
        *(b2a_qp(line).decode().replace("\n", "\r\n") for line in lines),
    ]
