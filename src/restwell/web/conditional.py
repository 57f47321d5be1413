"""Conditional requests (RFC 9110 13): entity tags made of a row's version."""

import re
from typing import Final

from restwell.errors import PreconditionFailed, PreconditionRequired

_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})(?:-gzip)?"').fullmatch
"""Of a version, whatever the coding: the edge marks a compressed form, and a proxy that compresses makes the tag weak."""


def etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that If-Match allows, or None for any (``*``). A weak tag counts as the strong one that it was made of (decision 23).

    Raises PreconditionRequired (428, RFC 6585) where the header is missing.
    """
    if if_match is None:
        raise PreconditionRequired
    if if_match.strip() == "*":
        return None
    tags = (_TAG(tag.strip(" \t")) for tag in if_match.split(","))
    return frozenset(int(found[1]) for found in tags if found is not None)


def check_version(current: int, expected: frozenset[int] | None) -> None:
    """Raise PreconditionFailed (412) unless this version is allowed.

    Read it in the transaction that makes the change, and lock the row, so that it is still the current version then. Look first whether
    there is a row at all: what does not exist is a 404, with whatever If-Match (RFC 9110 13.2.1).
    """
    if expected is not None and current not in expected:
        raise PreconditionFailed
