"""Types of fields in schemas: text without control characters, and points in time."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

__all__ = ["Instant", "MultiLineText", "SingleLineText", "anchored"]

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time. JSON: RFC 3339 in UTC."""


def anchored(pattern: str) -> str:
    """Match the whole string. A bare ``$`` also matches before a final line feed."""
    return rf"^(?:{pattern})$(?![\s\S])"


_TEXT: Final = r"[^\x00-\x1f\x7f]"

SingleLineText = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=anchored(rf"{_TEXT}*[^\s\x00-\x1f\x7f]{_TEXT}*"))
]
"""One line of at most 200 characters: not blank, no control characters."""

MultiLineText = Annotated[str, Meta(max_length=5_000, pattern=anchored(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"))]
"""Text of at most 5,000 characters with tabs and line ends, but no other control characters."""
