"""Conditional requests (RFC 9110 13): strong entity tags made of a row's version."""

import re
from typing import Final

from restwell.errors import PreconditionRequired

_TAG: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')
_VERSION: Final = re.compile(r"([0-9]{1,18})(?:-gzip)?")
"""The edge marks the tag of a compressed form; it is of the same version."""


def etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that If-Match allows, or None for any (``*``). Strong comparison: weak tags never match.

    Raises PreconditionRequired (428, RFC 6585) where the header is missing.
    """
    if if_match is None:
        raise PreconditionRequired
    if if_match.strip() == "*":
        return None
    tags = (_VERSION.fullmatch(tag) for weak, tag in _TAG.findall(if_match) if not weak)
    return frozenset(int(found[1]) for found in tags if found is not None)
