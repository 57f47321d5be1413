"""The cookies of a request (RFC 6265 5.4), read in linear time."""

import re
from typing import Final
from urllib.parse import unquote

_escaped: Final = re.compile(r"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
"""Within quotes: a character as three octal digits, or one that stands for itself. So Python's own ``http.cookies`` writes them."""


def cookies_in(header: str) -> dict[str, str]:
    """Each name's value, without its quotes and escapes. Of two that have one name the first counts: it has the longer path."""
    found: dict[str, str] = {}
    for pair in header.split(";"):
        name, separator, value = pair.partition("=")
        if separator:
            found.setdefault(name.strip(), value.strip())
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _escaped.sub(lambda one: chr(int(one[1], 8)) if one[1] else one[2], value[1:-1])
    return unquote(value) if "%" in value else value
