"""Renders mail, and sends it through an SMTP server, or writes it to files. Needs the extra ``mail``."""

import asyncio
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape
from pathlib import Path
from typing import Final
from unicodedata import category
from urllib.parse import unquote, urlsplit

import structlog
from msgspec import Struct

from restwell._atomic_file import replacing
from restwell._email_addresses import parse_mailbox
from restwell._extras import needs_extra
from restwell.email_addresses import EmailAddress
from restwell.errors import PermanentFailure

with needs_extra("mail", __name__):
    import aiosmtplib

__all__ = ["Mail", "MailFailed", "MailRefused", "Mailer", "render_mail"]

log = structlog.get_logger("restwell.mail")

TIMEOUT_SECONDS: Final = 30.0
"""The timeout of sending one mail."""
FOLDER: Final = Path("var/mail")
MAX_HEADER_CHARS: Final = 500
"""Longer names and subjects are truncated."""

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9'!-]+(?: [A-Za-z0-9'!-]+)*)?", re.ASCII)
"""Text that is valid unencoded in a subject and in a display name (RFC 5322 3.2.3), and is not an encoded word."""
_MAX_PLAIN_CHARS: Final = 60
_MAX_WORD_BYTES: Final = 39
"""39 bytes make an encoded word of 64 characters. With its header name, a line stays below 76 (RFC 2047 2)."""
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_REPLACED_CATEGORIES: Final = {"Cc", "Cs", "Zl", "Zp"}
_BOUNDARY: Final = "=_alternative"
"""Cannot occur in quoted-printable text, where hexadecimal digits follow each ``=`` (RFC 2045 6.7)."""


class MailRefused(PermanentFailure):
    """The server rejected the mail permanently, for example because the address does not exist."""


class MailFailed(Exception):
    """The mail could not be sent. A later attempt may succeed."""


class Mail(Struct, frozen=True):
    """A mail to one recipient, as plain text and HTML alternatives.

    ``to_name``, ``subject`` and ``text`` may contain any user input. ``html`` is markup: the caller must escape user
    input in it. ``key`` is unique for each mail, and has letters, digits, ``-`` and ``_``. It becomes the Message-ID,
    so a repeat can be detected. ``language``: the tag (BCP 47) of the text.
    """

    to: str
    to_name: str
    subject: str
    text: str
    html: str
    key: str
    language: str = ""


class Mailer(ABC):
    """``sender`` is an address, optionally with a display name: ``Shop <shop@example.com>``."""

    def __init__(self, sender: str) -> None:
        self._sender_name, self._sender = parse_mailbox(sender)

    @abstractmethod
    async def send(self, mail: Mail) -> None:
        """Send the mail. Returns when the server has accepted it. Raises MailRefused, MailFailed."""

    def _message(self, mail: Mail) -> tuple[str, bytes]:
        """The recipient's address and the message, in ASCII (RFC 5322, RFC 2045). Raises MailRefused.

        Header values are encoded and never parsed. The email package of the standard library decodes encoded words in
        values, which allows header injection through a name.
        """
        try:
            to = EmailAddress.parse(mail.to)
        except ValueError as error:
            raise MailRefused(f"not an address: {error}") from error
        if not _KEY.fullmatch(mail.key):
            raise MailRefused("the key of a mail must have at most 100 letters, digits, - and _")
        if mail.language and not _LANGUAGE.fullmatch(mail.language):
            raise MailRefused("the language of a mail must be a tag, such as en or pt-BR (BCP 47)")
        headers = [
            f"From: {_mailbox(self._sender_name, self._sender)}",
            f"To: {_mailbox(mail.to_name, to)}",
            f"Subject: {_encoded(mail.subject)}",
            f"Date: {format_datetime(datetime.now(UTC))}",
            f"Message-ID: <{mail.key}@{self._sender.rpartition('@')[2]}>",
            "Auto-Submitted: auto-generated",  # RFC 3834: suppresses automatic replies
            *([f"Content-Language: {mail.language}"] if mail.language else []),  # RFC 3282
            "MIME-Version: 1.0",
            f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"',
        ]
        parts = [*_part("plain", mail.text), *_part("html", mail.html), f"--{_BOUNDARY}--", ""]
        return to, "\r\n".join([*headers, "", *parts]).encode("ascii")


class SmtpMailer(Mailer):
    """``smtps://user:password@host:465`` uses implicit TLS; ``smtp://...:587`` requires STARTTLS.

    ``smtp+plain://`` uses no TLS and is for a relay on the same machine. The server's certificate is verified.
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
            async with asyncio.timeout(TIMEOUT_SECONDS):
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
                    timeout=TIMEOUT_SECONDS,
                )
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            errors = error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]
            if all(one.code >= 500 for one in errors):  # RFC 5321 4.2.1: 5yz is permanent, 4yz transient
                raise MailRefused(str(error)) from error
            raise MailFailed(str(error)) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailFailed(f"{self._host}:{self._port}: {error!r}") from error


class FolderMailer(Mailer):
    """Writes each mail to an .eml file."""

    def __init__(self, folder: Path, sender: str) -> None:
        super().__init__(sender)
        self._folder = folder

    async def send(self, mail: Mail) -> None:
        to, message = self._message(mail)
        file = self._folder / f"{mail.key}.eml"
        await asyncio.to_thread(_write, file, message)
        log.info("mail_written", to=to, subject=mail.subject, file=str(file))


def render_mail(
    *,
    to: str,
    subject: str,
    paragraphs: Sequence[str],
    table: Sequence[Sequence[str]] = (),
    key: str,
    greeting: str = "Hello,",
    signature: str = "",
    language: str = "en",
) -> Mail:
    """Lay out a mail as plain text and HTML. All texts are escaped; ``language`` is a tag such as ``de`` (BCP 47).

    The recipient's name is never included: anyone can register the address of a third party with a name that contains a
    message.
    """
    rows = "\n".join("  ".join(row) for row in table)
    above, below = [greeting, *paragraphs], [signature] if signature else []
    text = "\n\n".join([*above, *([rows] if rows else []), *below])
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table)
    body = f"{_paragraphs(above)}{f'<table>{cells}</table>' if cells else ''}{_paragraphs(below)}"
    page = f'<!doctype html><html lang="{escape(language)}"><body>{body}</body></html>'
    return Mail(to=to, to_name="", subject=subject, text=f"{text}\n", html=page, key=key, language=language)


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def open_mailer(smtp_url: str | None, sender: str) -> Mailer:
    """A mailer for an SMTP URL, or for ``folder:path``. Without a URL, mails are written to FOLDER."""
    if smtp_url is None or smtp_url.startswith("folder:"):
        return FolderMailer(Path((smtp_url or "").removeprefix("folder:") or FOLDER), sender)
    return SmtpMailer(smtp_url, sender)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as draft:  # a reader sees the whole mail
        draft.write_bytes(content)


def _mailbox(name: str, address: str) -> str:
    """A display name and an address, folded if they are too long for one line."""
    display_name = _encoded(name)
    if not display_name:
        return address
    return (
        f"{display_name} <{address}>"
        if len(display_name) + len(address) < _MAX_PLAIN_CHARS
        else f"{display_name}\r\n <{address}>"
    )


def _encoded(text: str) -> str:
    """Encode any text as a header value: unchanged if it is plain ASCII words, else as folded encoded words (RFC 2047).

    Control characters, lone surrogates and line separators become spaces.
    """
    line = "".join(" " if category(one) in _REPLACED_CATEGORIES else one for one in text[:MAX_HEADER_CHARS]).strip()
    if len(line) <= _MAX_PLAIN_CHARS and _PLAIN.fullmatch(line):
        return line
    words, word = [], b""
    for one in line:
        character = one.encode()
        if len(word) + len(character) > _MAX_WORD_BYTES:
            words.append(word)
            word = b""
        word += character
    return "\r\n ".join(f"=?utf-8?b?{b64encode(one).decode()}?=" for one in (*words, word))


def _part(kind: str, text: str) -> list[str]:
    """The lines of one alternative, in quoted-printable, which is readable and keeps lines short enough for SMTP."""
    lines = _LINE_END.split(text.encode("utf-8", "replace"))
    return [
        f"--{_BOUNDARY}",
        f'Content-Type: text/{kind}; charset="utf-8"',
        "Content-Transfer-Encoding: quoted-printable",
        "",
        *(b2a_qp(line).decode().replace("\n", "\r\n") for line in lines),
    ]
