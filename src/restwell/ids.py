"""Identifiers: UUIDv7 (RFC 9562), ordered by time, so that new rows land at the end of an index."""

from datetime import datetime
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


def new_id_text() -> str:
    """A fresh UUIDv7 as text, without making an object first."""
    return str(uuid_utils.uuid7())


def min_id_at(moment: datetime) -> UUID:
    """Below every id that is made from that moment on, and above those of before: a UUIDv7 begins with the milliseconds since 1970."""
    return UUID(int=int(moment.timestamp() * 1_000) << 80)
