"""Text of others on a terminal, which takes control characters for commands."""

import re
from typing import Final

_COLORS: Final = re.compile(r"(\x1b\[[\d;]*m)")


def printable(text: str) -> str:
    r"""The text with each control character as its escape, such as ``\x1b``. Line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )


def printable_in_colors(text: str) -> str:
    """As ``printable``, except that sequences that set colors stay."""
    return "".join(part if _COLORS.fullmatch(part) else printable(part) for part in _COLORS.split(text))
