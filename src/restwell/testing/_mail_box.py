"""Reads the mails that an application with ``SMTP_URL=folder:...`` has sent."""

import asyncio
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Final

from msgspec import Struct

_POLL_SECONDS: Final = 0.02
_codes: Final = re.compile(r"(?<![\w-])[\w-]{32}(?![\w-])", re.ASCII).findall


class ReceivedMail(Struct, frozen=True):
    """A mail. ``to`` is the address without the name. ``message`` has all headers and parts."""

    to: str
    subject: str
    text: str
    html: str
    message: EmailMessage

    @property
    def code(self) -> str:
        """The one-time code in the text."""
        return find_code(self.text)


class MailBox:
    """The mails in the folder of ``SMTP_URL=folder:...``, of all recipients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._returned: set[str] = set()

    @property
    def smtp_url(self) -> str:
        """The value of SMTP_URL with which the application sends its mails here."""
        return f"folder:{self._folder}"

    @property
    def mails(self) -> list[ReceivedMail]:
        """All mails, oldest first. A repeated mail with the same key replaces the first one."""
        return [_parsed(file) for file in self._files()]

    async def wait_for(self, *, to: str = "", subject: str = "", seconds: float = 10) -> ReceivedMail:
        """Wait for the next mail to this address whose subject contains ``subject``.

        Returns each mail once, oldest first. Raises TimeoutError, with the mails that are there.
        """
        try:
            async with asyncio.timeout(seconds):
                while (found := self._next(to, subject)) is None:  # noqa: ASYNC110  # other processes write it
                    await asyncio.sleep(_POLL_SECONDS)
                return found
        except TimeoutError:
            there = "".join(f"\n  to {mail.to}: {mail.subject}" for mail in self.mails) or " no mail"
            raise TimeoutError(
                f"no new mail to {to or 'any address'} with {subject!r} in its subject within {seconds:g} seconds. "
                "Jobs send mails: call finish_jobs(app) first, or run a worker. "
                f"{self._folder} has{there}"
            ) from None

    def _next(self, to: str, subject: str) -> ReceivedMail | None:
        for file in self._files():
            if file.name not in self._returned:
                mail = _parsed(file)
                if to in {"", mail.to} and subject in mail.subject:
                    self._returned.add(file.name)
                    return mail
        return None

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.eml"), key=lambda file: (file.stat().st_mtime_ns, file.name))


def find_code(text: str) -> str:
    """The one-time code in a text: 32 letters, digits, ``-`` and ``_``. Raises AssertionError if it has not one."""
    codes = set(_codes(text))
    if len(codes) != 1:
        raise AssertionError(f"{len(codes) or 'no'} one-time codes in the text, instead of 1:\n{text}")
    return str(codes.pop())


def _parsed(file: Path) -> ReceivedMail:
    message = message_from_bytes(file.read_bytes(), policy=default)
    (to,) = message["To"].addresses
    texts = dict(_texts(message))
    return ReceivedMail(
        to=to.addr_spec,
        subject=str(message["Subject"]),
        text=texts.get("plain", ""),
        html=texts.get("html", ""),
        message=message,
    )


def _texts(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for part in message.walk():
        if part.get_content_maintype() == "text":
            yield part.get_content_subtype(), str(part.get_content()).replace("\r\n", "\n")
