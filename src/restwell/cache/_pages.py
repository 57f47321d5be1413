"""Pages whose ids are cached under the tags of the list, and whose rows are cached each under a tag of its own."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar, get_args

from restwell import _api_version
from restwell.cache._cache import Cache
from restwell.database import Database, PageQuery, Query
from restwell.pages import Cursors, Page, PageFilter

T = TypeVar("T")

_page_of: Final[Any] = Page


class CachedPages(Generic[T]):
    """Lists of rows that are cached one by one: a write to a row reads one row again, and no list.

    ``row`` is the query of a row by its id, with ``batch_on``; ``tag`` is the tag of the row with an id. A write that
    changes which rows a list has, or their order, must invalidate the tags of the list. Any write to a row must
    invalidate its tag. So does one that deletes it::

        self._pages = CachedPages(database, cache, cursors, queries.by_id, tag=product_tag, ttl_seconds=60)

        return await self._pages.fetch(queries.page, filters, ["products"], category=filters.category)
    """

    def __init__(
        self,
        database: Database,
        cache: Cache,
        cursors: Cursors,
        row: Query[T],
        *,
        tag: Callable[[Any], str],
        ttl_seconds: float,
    ) -> None:
        if not row.batch_on:
            raise TypeError(f"query {row.name} reads one row: declare its id with batch_on=")
        self._database = database
        self._cache = cache
        self._cursors = cursors
        self._row = row
        self._tag = tag
        self._ttl_seconds = ttl_seconds

    async def fetch(
        self, pages: PageQuery[Any], filters: PageFilter, tags: Sequence[str], /, **arguments: Any
    ) -> Page[Any]:
        """The page that ``filters`` ask for, as ``Cursors.fetch`` reads it. ``tags`` are those of the list.

        Its rows are those of ``row``, or dicts of the columns of ``pages`` if that is declared with ``into=dict``. A
        row that is changed at the same time may be newer than the order. Without a cache, ``pages`` is read as it is.
        Raises InvalidCursor.
        """
        if self._cache.is_bypassed():
            return await self._cursors.fetch(self._database, pages, filters, **arguments)
        page = await self._fetch_ids(pages, filters, tags, arguments)
        found = await self._cache.get_or_load_each(page.items, self._find, tag=self._tag, ttl_seconds=self._ttl_seconds)
        rows: list[Any] = [row for row in found if row is not None]  # the others were deleted since
        if pages.first.into is dict and self._row.into is not dict:
            names = [str(name) for name in pages.first.columns]
            rows = [{name: getattr(row, name) for name in names} for row in rows]
        return Page(rows, page.next_cursor)

    async def _fetch_ids(
        self, pages: PageQuery[Any], filters: PageFilter, tags: Sequence[str], arguments: dict[str, Any]
    ) -> Page[Any]:
        ids = pages.ids

        async def load() -> Page[Any]:
            page = await self._cursors.fetch(self._database, ids, filters, **arguments)
            return page.map(itemgetter(ids.id_name))

        version = _api_version.current.get().prefix  # a cursor belongs to it
        return await self._cache.get_or_load(
            f"{ids.name}:{(version, ids.scope, filters.limit, filters.cursor, arguments)}",
            load,
            kind=_page_of[get_args(ids.position_type)[-1]],
            tags=tags,
            ttl_seconds=self._ttl_seconds,
        )

    async def _find(self, row_id: Any) -> T | None:
        return await self._database.find(self._row, **{self._row.batch_on: row_id})
