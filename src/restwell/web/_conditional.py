"""Conditional requests (RFC 9110 13) with entity tags built from row versions."""

import re
from typing import Final

from restwell import _api_version
from restwell.errors import PreconditionFailed, PreconditionRequired

_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})((?:\.[^"]*?)?)(?:-gzip)?"').fullmatch
"""A tag of any content coding: the edge adds ``-gzip`` to compressed responses, and proxies make the tag weak."""


def etag(version: int) -> str:
    """The strong entity tag of a row version, in the version of the API: ``"3"``, or ``"3.v2"`` below ``/v2``."""
    return f'"{version}{_api_version.current.get().tag_suffix}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions in If-Match, or None for any version (``*``). A weak tag counts as its strong form (decision 23).
    A tag of another version of the API is of another representation, and no version.

    Raises PreconditionRequired (428, RFC 6585) if the header is missing.
    """
    if if_match is None:
        raise PreconditionRequired
    if if_match.strip(" \t") == "*":
        return None
    tags, suffix = (_TAG(tag.strip(" \t")) for tag in if_match.split(",")), _api_version.current.get().tag_suffix
    return frozenset(int(match[1]) for match in tags if match is not None and match[2] == suffix)


def check_version(current: int, expected: frozenset[int] | None) -> None:
    """Raises PreconditionFailed (412) if ``current`` is not an expected version.

    Read the version in the transaction of the change, with a row lock. Check first that the row exists: a missing
    resource is a 404 with any If-Match (RFC 9110 13.2.1).
    """
    if expected is not None and current not in expected:
        raise PreconditionFailed
