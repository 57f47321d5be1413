"""Lists in pages, for services. Independent of HTTP.

Keyset pages, with signed and opaque cursors: every page has the same cost. In ``queries.py`` and in the service::

    page = page_query("reviews.page", select(*_columns).where(_of_product), [reviews.c.id], Review, descending=True)

    return await self._cursors.fetch(self._database, queries.page, filters, product_id=product_id)

Offset pages, where a client must be able to jump: a page costs more the further it is from the start.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Struct

from restwell import _api_version
from restwell._signing import SignedTokens
from restwell.database import Executor, PageQuery, Query
from restwell.errors import InvalidCursor

__all__ = ["Cursors", "OffsetFilter", "OffsetPage", "Page", "PageFilter", "fetch_offset_page"]

T = TypeVar("T")
U = TypeVar("U")

MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 10_000
"""The database reads and drops as many rows."""
MAX_CURSOR_CHARS: Final = 2_048
"""Enough for a string position of 200 characters of four bytes each."""

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of items.")]
Offset = Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="Number of items to skip.")]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CURSOR_CHARS,
        description="From the previous page. The other parameters must be unchanged.",
    ),
]


class Page(Struct, Generic[T], frozen=True):
    """A page of a list. ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None

    def map(self, convert: Callable[[T], U]) -> "Page[U]":
        """The page with each item converted."""
        return Page([convert(item) for item in self.items], self.next_cursor)


class PageFilter(Struct, frozen=True, kw_only=True):
    """The query parameters of every list. Subclass it to add filters."""

    limit: Limit = 20
    cursor: Cursor | None = None


class OffsetPage(Struct, Generic[T], frozen=True):
    """A page of a list. ``total`` is the number of items on all pages, or null if it is not counted."""

    items: list[T]
    has_more: bool
    total: int | None


class OffsetFilter(Struct, frozen=True, kw_only=True):
    """The query parameters of a list with offsets. Subclass it to add filters."""

    limit: Limit = 20
    offset: Offset = 0


class Cursors:
    """Encodes and decodes cursors.

    ``scope`` names a query and its filters: a cursor is valid only in its scope, and in its version of the API.
    """

    def __init__(self, key: bytes) -> None:
        self._tokens = SignedTokens(key)

    async def fetch(self, executor: Executor, pages: PageQuery[T], filters: PageFilter, /, **arguments: Any) -> Page[T]:
        """The page that ``filters`` ask for. ``arguments`` are those of the statement; a cursor belongs to them.

        Raises InvalidCursor.
        """
        scope = f"{pages.scope} {arguments}"
        count = filters.limit + 1  # an extra row means that there is a next page
        if filters.cursor is None:
            rows = await executor.all(pages.first, count=count, **arguments)
        else:
            position = self.decode(scope, filters.cursor, pages.position_type)
            rows = await executor.all(
                pages.next, count=count, **dict(zip(pages.after, position, strict=True)), **arguments
            )
        if len(rows) < count:
            return Page(rows, None)
        del rows[filters.limit :]
        return Page(rows, self.encode(scope, pages.position_of(rows[-1])))

    def encode(self, scope: str, position: tuple[Any, ...]) -> str:
        """Encode and sign the position after which the next page starts."""
        return self._tokens.encode(_api_version.current.get().prefix + scope, position)

    def decode(self, scope: str, cursor: str, kind: type[T]) -> T:
        """Decode the position as ``kind``, a tuple type. Raises InvalidCursor."""
        try:
            return self._tokens.decode(_api_version.current.get().prefix + scope, cursor, kind)
        except ValueError:
            raise InvalidCursor from None


async def fetch_offset_page(
    executor: Executor,
    query: Query[T],
    filters: OffsetFilter,
    /,
    *,
    total: Query[int] | None = None,
    **arguments: Any,
) -> OffsetPage[T]:
    """The page that ``filters`` ask for.

    ``query`` ends with ``.limit(param("count")).offset(param("offset"))``; its order must be total. ``total`` counts
    the rows, with the same ``arguments``.
    """
    rows = await executor.all(query, count=filters.limit + 1, offset=filters.offset, **arguments)
    items, has_more = rows[: filters.limit], len(rows) > filters.limit
    if total is None:
        return OffsetPage(items, has_more, None)
    counted = await executor.one(total, **arguments)
    return OffsetPage(items, has_more, counted)
