"""Identifiers: UUIDv7 (RFC 9562), ordered by time, so that new rows land at the end of an index."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


def new_id_text() -> str:
    """A fresh UUIDv7 as text, without making an object first."""
    return str(uuid_utils.uuid7())
