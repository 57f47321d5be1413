"""Email addresses: a strict parser and a canonical form."""

import re
from typing import Final, Self, cast

from restwell._extras import check_installed

MAX_CHARACTERS: Final = 254
"""RFC 5321 4.5.3.1.3, as corrected: a path of 256 octets, less its angle brackets."""

_LOCALHOST: Final = re.compile(r"(?P<local>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@localhost", re.ASCII)
_NAMED: Final = re.compile(r"(?P<name>[^<>@]*)<(?P<address>[^<>]*)>")


class _Checked(type):
    """Lets msgspec accept the ``str`` that ``parse`` returns."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)


class EmailAddress(str, metaclass=_Checked):
    """An address in canonical form: lower-case ASCII, with an international domain as A-labels (``xn--...``).

    Two spellings of one mailbox are equal, and SMTP accepts every value. The local part is case-insensitive, as with
    all large providers; RFC 5321 2.4 leaves that to the host. A field of this type in a Struct is parsed with the
    request, and an error names the field. The type exists for type checkers only: at run time the value is a plain
    ``str``, which every driver and encoder accepts.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one address (RFC 5321 4.1.2). Raises ValueError with the reason.

        Rejects comments, display names, quoted local parts and IP address domains. Rejects local parts with non-ASCII
        characters, because only relays with SMTPUTF8 (RFC 6531) accept them. Does not query DNS.
        """
        if len(text) > MAX_CHARACTERS:  # checked first: the parser's time grows with the length
            raise ValueError(f"An email address has at most {MAX_CHARACTERS} characters.")
        # Of the extra ``mail``, and a fifth of the import time of the kit.
        from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415  # loaded only if used

        try:
            address = validate_email(
                text,
                allow_smtputf8=False,
                allow_empty_local=False,
                allow_quoted_local=False,
                allow_domain_literal=False,
                allow_display_name=False,
                strict=True,
                check_deliverability=False,
                test_environment=True,  # accepts the top-level domain .test
                globally_deliverable=True,
            )
        except EmailNotValidError as error:
            raise ValueError(str(error)) from error
        if address.ascii_email is None or "." not in address.ascii_domain:
            raise ValueError("The part after the @-sign is not valid. It should have a period.")
        return cast("Self", address.ascii_email.lower())

    @classmethod
    def preload(cls) -> None:
        """Import the parser and its Unicode tables, so that no request waits for that."""
        cls.parse("preload@bücher.example")


def parse_mailbox(text: str) -> tuple[str, str]:
    """Parse a sender, ``Shop <shop@shop.example>`` or an address, into display name and address.

    Also accepts ``...@localhost``. Raises ValueError.
    """
    named = _NAMED.fullmatch(text.strip())
    name, address = (named["name"].strip().strip('"'), named["address"]) if named is not None else ("", text.strip())
    if not name.isprintable():
        raise ValueError("The name contains a control character.")
    if _LOCALHOST.fullmatch(address):
        return name, address.lower()
    check_installed("email_validator", "mail")
    return name, EmailAddress.parse(address)


def mailbox(text: str) -> str:
    """Validate a sender with ``parse_mailbox`` and return it unchanged. Raises ValueError."""
    try:
        parse_mailbox(text)
    except ValueError as error:
        raise ValueError(f"must be an address, or a name and an address: Shop <shop@example.com>. {error}") from error
    return text
