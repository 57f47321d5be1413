"""Identifiers: UUIDv7 (RFC 9562), ordered by time, so that new rows are appended to an index."""

from datetime import datetime
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7

__all__ = ["min_id_at", "new_id"]


def new_id() -> UUID:
    """A new UUIDv7."""
    return uuid7()


def new_id_text() -> str:
    """A new UUIDv7 as text. Faster than ``str(new_id())``."""
    return str(uuid_utils.uuid7())


def min_id_at(moment: datetime) -> UUID:
    """The lower bound of ids created at ``moment`` or later: a UUIDv7 begins with the Unix time in milliseconds."""
    return UUID(int=int(moment.timestamp() * 1_000) << 80)
