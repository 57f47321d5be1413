"""Keyset pages: the query of a first page and that of a next page, from one statement and its sort key."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, Generic, TypeVar, cast, is_typeddict

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    column,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import NullType

from restwell.database._query import Query, fields_of, query

T = TypeVar("T")

_COUNT: Final = bindparam("count", type_=Integer(), required=True)


class PageQuery(Generic[T]):
    """Created by ``page_query``. Both queries need ``count``, the next one also ``after_<column>`` of each key."""

    __slots__ = (
        "_ids",
        "_select_ids",
        "after",
        "first",
        "id_name",
        "name",
        "next",
        "position_of",
        "position_type",
        "scope",
    )

    def __init__(
        self,
        name: str,
        statements: Mapping[str, Select[Any]],
        key: Sequence[ColumnElement[Any]],
        into: type[T],
        *,
        descending: bool,
        batch_on: Sequence[str] | None,
    ) -> None:
        names = [each.name for each in cast("Sequence[Any]", key)]
        self.name = name
        self.id_name = names[-1]
        self.scope = f"{name} {','.join(names)}{' desc' if descending else ''}"
        self.after = [f"after_{each}" for each in names]
        self.position_type: Any = tuple[tuple(each.type.python_type for each in key)]  # type: ignore[misc]
        self.position_of = _position_of(names, into)
        position = [bindparam(name, type_=each.type, required=True) for name, each in zip(self.after, key, strict=True)]
        order = _order(key, descending=descending)
        first = {dialect: statement.order_by(*order).limit(_COUNT) for dialect, statement in statements.items()}
        after = _is_after(key, position, descending=descending)
        self.first = query(name, first, into)
        self.next = query(name, {dialect: statement.where(after) for dialect, statement in first.items()}, into)
        if batch_on is not None:
            batch = _Batch(self.first, statements["postgresql"], key, batch_on, descending=descending)
            self.first._batch_lists(tuple(batch_on), batch.statement())  # noqa: SLF001  # same package
            self.next._batch_lists((*batch_on, *self.after), batch.statement(position))  # noqa: SLF001  # as above
        self._ids: PageQuery[Any] | None = None
        self._select_ids: Callable[[], PageQuery[Any]] = lambda: PageQuery(
            f"{name}_ids",
            {dialect: each.with_only_columns(*key, maintain_column_froms=True) for dialect, each in statements.items()},
            key,
            dict,
            descending=descending,
            batch_on=batch_on,
        )
        missing = [each for each in names if each not in self.first.columns]
        if missing:
            raise TypeError(f"query {name} must select its key: add {', '.join(missing)}")

    @property
    def ids(self) -> "PageQuery[Any]":
        """The same pages with no columns but the key, of which ``id_name`` is the last. Their cursors are the same."""
        if self._ids is None:
            self._ids = self._select_ids()
            self._ids.scope = self.scope
        return self._ids

    def __repr__(self) -> str:
        return f"<PageQuery {self.name}>"


def page_query(
    name: str,
    statement: Select[Any] | Mapping[str, Select[Any]],
    key: Sequence[ColumnElement[Any]],
    into: type[T],
    *,
    descending: bool = False,
    batch_on: Sequence[str] | None = None,
) -> PageQuery[T]:
    """A list in pages, for ``Cursors.fetch``. Every page has the same cost, if an index has the columns of ``key``.

    ``statement`` has neither ORDER BY nor LIMIT. ``key`` is the order, in one direction; its last column is unique, no
    column is null, and all of them are selected. ``into`` is a record type or ``dict``, as of ``query``.

    ``batch_on`` names all arguments of the statement. Pages that are requested outside transactions at the same time
    are then read by one statement on PostgreSQL, each from its own position. A batch takes as long as its slowest page,
    so use it only where an index has the columns of the conditions and of ``key``.
    """
    statements = statement if isinstance(statement, Mapping) else dict.fromkeys(("postgresql", "sqlite"), statement)
    return PageQuery(name, statements, key, into, descending=descending, batch_on=batch_on)


class _Batch:
    """The statement that reads several pages: a row of arrays for each, joined with its page."""

    def __init__(
        self,
        first: Query[Any],
        statement: Select[Any],
        key: Sequence[ColumnElement[Any]],
        batch_on: Sequence[str],
        *,
        descending: bool,
    ) -> None:
        self._statement = statement
        self._key = key
        self._descending = descending
        parameters = first.compiled["postgresql"].parameters
        found = {each.name: each.kind for each in parameters if each.required and each.name != "count"}
        if set(found) != set(batch_on):
            names = (", ".join(each) or "nothing" for each in (batch_on, found))
            raise TypeError("query {} cannot be batched on {}: its arguments are {}".format(first.name, *names))
        unfit = [argument for argument, kind in found.items() if isinstance(kind, NullType | ARRAY)]
        if unfit:
            raise TypeError(f"query {first.name} cannot be batched on {', '.join(unfit)}: compare it with a column")
        self._types = {argument: found[argument] for argument in batch_on}

    def statement(self, position: Sequence[BindParameter[Any]] = ()) -> Select[Any] | None:
        """None without arguments: all pages of a batch are then the same one."""
        types = self._types | {bind.key: bind.type for bind in position}
        if not types:
            return None
        arrays = [bindparam(argument, type_=ARRAY(kind), required=True) for argument, kind in types.items()]
        columns = [column(argument, kind) for argument, kind in types.items()]
        pages = func.unnest(*arrays).table_valued(*columns, with_ordinality="page_number").render_derived()

        def replace(element: Any, **_: Any) -> ColumnElement[Any] | None:
            is_argument = isinstance(element, BindParameter) and element.key in types
            return pages.c[element.key] if is_argument else None

        page = cast("Select[Any]", replacement_traverse(self._statement, {}, replace))
        if position:
            after = [pages.c[bind.key] for bind in position]
            page = page.where(_is_after(self._key, after, descending=self._descending))
        rows = page.order_by(*_order(self._key, descending=self._descending)).limit(_COUNT).lateral()
        order = _order([rows.c[each.name] for each in cast("Any", self._key)], descending=self._descending)
        numbered = select(pages.c.page_number, *rows.c).select_from(pages.join(rows, true()))
        return numbered.order_by(pages.c.page_number, *order)


def _order(key: Sequence[ColumnElement[Any]], *, descending: bool) -> list[ColumnElement[Any]]:
    return [each.desc() for each in key] if descending else list(key)


def _position_of(names: Sequence[str], into: Any) -> Callable[[Any], tuple[Any, ...]]:
    if into is not dict and fields_of(into) is None:
        raise TypeError(f"a page needs rows with fields: use a Struct or dict instead of {into}")
    get = itemgetter(*names) if into is dict or is_typeddict(into) else attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _is_after(
    key: Sequence[ColumnElement[Any]], position: Sequence[ColumnElement[Any]], *, descending: bool
) -> ColumnElement[bool]:
    if len(key) == 1:
        return key[0] < position[0] if descending else key[0] > position[0]
    return tuple_(*key) < tuple_(*position) if descending else tuple_(*key) > tuple_(*position)
