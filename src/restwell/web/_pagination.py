"""Keyset pagination with signed, opaque cursors. Every page has the same cost."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Struct

from restwell._signing import SignedTokens
from restwell.errors import InvalidCursor

T = TypeVar("T")

MAX_LIMIT: Final = 100
MAX_CURSOR_CHARS: Final = 2_048
"""Enough for a string position of 200 characters of four bytes each."""

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of items.")]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CURSOR_CHARS,
        description="`next_cursor` of the previous page. The other parameters must be unchanged.",
    ),
]


class Page(Struct, Generic[T], frozen=True):
    """A page of a list. ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None


class PageFilter(Struct, frozen=True, kw_only=True):
    """The query parameters of every list. Subclass it to add filters."""

    limit: Limit = 20
    cursor: Cursor | None = None


class Cursors:
    """Encodes and decodes cursors. ``scope`` names a query and its filters: a cursor is valid only in its scope."""

    def __init__(self, key: bytes) -> None:
        self._tokens = SignedTokens(key)

    def encode(self, scope: str, position: tuple[Any, ...]) -> str:
        """Encode and sign the position after which the next page starts."""
        return self._tokens.encode(scope, position)

    def decode(self, scope: str, cursor: str, kind: type[T]) -> T:
        """Decode the position as ``kind``, a tuple type. Raises InvalidCursor."""
        try:
            return self._tokens.decode(scope, cursor, kind)
        except ValueError:
            raise InvalidCursor from None

    def page(self, scope: str, rows: Sequence[T], limit: int, position: Callable[[T], tuple[Any, ...]]) -> Page[T]:
        """Build a page of rows that were read with ``limit + 1``: an extra row means that there is a next page."""
        items = list(rows[:limit])
        has_more = len(rows) > limit
        return Page(items, self.encode(scope, position(items[-1])) if has_more else None)
