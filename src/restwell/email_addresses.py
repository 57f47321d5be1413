"""Email addresses: one strict parser and one canonical form, for every place where an address comes in."""

import re
from typing import Final, Self, cast

MAX_CHARACTERS: Final = 254
"""RFC 5321 4.5.3.1.3, as corrected: a path of 256 octets, less its angle brackets."""

_LOCALHOST: Final = re.compile(r"(?P<local>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@localhost", re.ASCII)
_NAMED: Final = re.compile(r"(?P<name>[^<>@]*)<(?P<address>[^<>]*)>")


class _Checked(type):
    """Lets msgspec accept the ``str`` that ``parse`` returns."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)


class EmailAddress(str, metaclass=_Checked):
    """An address in its canonical form: ASCII in lower case, an international domain as its A-labels (``xn--...``).

    Two spellings of one mailbox are equal, and what is an address can be mailed: SMTP takes it as it is. The local part is compared
    without case, as every large provider does, though RFC 5321 2.4 leaves that to the host. As a field of a Struct it is parsed when a
    request is read, and a fault names the field. It is a type for type checkers only: at run time the value is a plain ``str``, which
    every driver and encoder takes.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, which says what is wrong, for anything but one bare address (RFC 5321 4.1.2).

        No comment, no display name, no quoted local part, no IP address for a domain. A local part with characters outside of ASCII
        is refused, because only relays with SMTPUTF8 (RFC 6531) would take it. DNS is not asked.
        """
        if len(text) > MAX_CHARACTERS:  # first, because the parser's time grows with the text
            raise ValueError(f"An email address has at most {MAX_CHARACTERS} characters.")
        # Loaded where it is used: it takes a fifth of what importing the kit takes.
        from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

        try:
            found = validate_email(
                text,
                allow_smtputf8=False,
                allow_empty_local=False,
                allow_quoted_local=False,
                allow_domain_literal=False,
                allow_display_name=False,
                strict=True,
                check_deliverability=False,
                test_environment=True,  # .test is a domain like any other
                globally_deliverable=True,
            )
        except EmailNotValidError as error:
            raise ValueError(str(error)) from error
        if found.ascii_email is None or "." not in found.ascii_domain:
            raise ValueError("The part after the @-sign is not valid. It should have a period.")
        return cast("Self", found.ascii_email.lower())

    @classmethod
    def load(cls) -> None:
        """Load what the parser needs, tables of Unicode among it, so that no request has to wait for that."""
        cls.parse("load@bücher.example")


def parse_mailbox(text: str) -> tuple[str, str]:
    """The name and the address of ``Shop <shop@shop.example>``, or of an address alone, as an application's own sender is named.

    ``...@localhost`` is one, too. Raises ValueError.
    """
    named = _NAMED.fullmatch(text.strip())
    name, address = (named["name"].strip().strip('"'), named["address"]) if named is not None else ("", text.strip())
    if not name.isprintable():
        raise ValueError("The name holds a control character.")
    if _LOCALHOST.fullmatch(address):
        return name, address.lower()
    return name, EmailAddress.parse(address)


def mailbox(text: str) -> str:
    """The text itself, if it is what ``parse_mailbox`` reads. Raises ValueError."""
    try:
        parse_mailbox(text)
    except ValueError as error:
        raise ValueError(f"must be an address, or a name and an address: Shop <shop@example.com>. {error}") from error
    return text
