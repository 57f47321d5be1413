"""The SQLAlchemy metadata, and field types shared by several resources."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta
from sqlalchemy import MetaData

metadata: Final = MetaData()

MAX_AMOUNT: Final = 1_000_000_000

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time. JSON: RFC 3339 in UTC."""


def anchored(pattern: str) -> str:
    """Match the whole string. A bare ``$`` also matches before a final line feed."""
    return rf"^(?:{pattern})$(?![\s\S])"


_TEXT: Final = r"[^\x00-\x1f\x7f]"

SingleLineText = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=anchored(rf"{_TEXT}*[^\s\x00-\x1f\x7f]{_TEXT}*"))
]
"""One line: not blank, no control characters."""

MultiLineText = Annotated[str, Meta(max_length=5_000, pattern=anchored(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"))]
"""Text with tabs and line feeds, but no other control characters."""

Slug = Annotated[str, Meta(pattern=anchored(r"[a-z0-9]+(?:-[a-z0-9]+)*"), max_length=40, examples=["audio"])]
Currency = Annotated[str, Meta(pattern=anchored(r"[A-Z]{3}"), examples=["EUR"], description="ISO 4217.")]
Cents = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[12_900], description="In the currency's minor unit.")]
Count = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[25])]
