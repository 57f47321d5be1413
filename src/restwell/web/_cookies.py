"""Parsing of the Cookie header (RFC 6265 5.4) in linear time."""

import re
from typing import Final
from urllib.parse import unquote

_escaped: Final = re.compile(r"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
"""Escapes in quoted values, as Python's ``http.cookies`` writes them: three octal digits, or an escaped character."""


def cookies_in(header: str) -> dict[str, str]:
    """The cookies by name, unquoted and unescaped. Of two with the same name the first wins: it has the longer path."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, separator, value = pair.partition("=")
        if separator:
            cookies.setdefault(name.strip(" \t"), value.strip(" \t"))
    return {name: _unquote(value) for name, value in cookies.items()}


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _escaped.sub(lambda match: chr(int(match[1], 8)) if match[1] else match[2], value[1:-1])
    return unquote(value) if "%" in value else value
