"""Keyset pages: the query of a first page and that of a next page, from one statement and its sort key."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar, cast, is_typeddict

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, tuple_

from restwell.database._query import fields_of, param, query

T = TypeVar("T")


class PageQuery(Generic[T]):
    """Created by ``page_query``. Both queries need ``count``, the next one also ``after_<column>`` of each key."""

    __slots__ = ("after", "first", "name", "next", "position_of", "position_type", "scope")

    def __init__(
        self,
        name: str,
        statements: Mapping[str, Select[Any]],
        key: Sequence[ColumnElement[Any]],
        into: type[T],
        *,
        descending: bool,
    ) -> None:
        names = [column.name for column in cast("Sequence[Any]", key)]
        self.name = name
        self.scope = f"{name} {','.join(names)}{' desc' if descending else ''}"
        self.after = [f"after_{column}" for column in names]
        self.position_type: Any = tuple[tuple(column.type.python_type for column in key)]  # type: ignore[misc]
        self.position_of = _position_of(names, into)
        position = [
            bindparam(name, type_=column.type, required=True) for name, column in zip(self.after, key, strict=True)
        ]
        order = [column.desc() for column in key] if descending else list(key)
        first = {dialect: statement.order_by(*order).limit(param("count")) for dialect, statement in statements.items()}
        after = _is_after(key, position, descending=descending)
        self.first = query(name, first, into)
        self.next = query(name, {dialect: statement.where(after) for dialect, statement in first.items()}, into)
        missing = [column for column in names if column not in self.first.columns]
        if missing:
            raise TypeError(f"query {name} must select its key: add {', '.join(missing)}")

    def __repr__(self) -> str:
        return f"<PageQuery {self.name}>"


def page_query(
    name: str,
    statement: Select[Any] | Mapping[str, Select[Any]],
    key: Sequence[ColumnElement[Any]],
    into: type[T],
    *,
    descending: bool = False,
) -> PageQuery[T]:
    """A list in pages, for ``Cursors.fetch``. Every page has the same cost, if an index has the columns of ``key``.

    ``statement`` has neither ORDER BY nor LIMIT. ``key`` is the order, in one direction; its last column is unique, no
    column is null, and all of them are selected. ``into`` is a record type or ``dict``, as of ``query``.
    """
    statements = statement if isinstance(statement, Mapping) else dict.fromkeys(("postgresql", "sqlite"), statement)
    return PageQuery(name, statements, key, into, descending=descending)


def _position_of(names: Sequence[str], into: Any) -> Callable[[Any], tuple[Any, ...]]:
    if into is not dict and fields_of(into) is None:
        raise TypeError(f"a page needs rows with fields: use a Struct or dict instead of {into}")
    get = itemgetter(*names) if into is dict or is_typeddict(into) else attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _is_after(
    key: Sequence[ColumnElement[Any]], position: Sequence[BindParameter[Any]], *, descending: bool
) -> ColumnElement[bool]:
    if len(key) == 1:
        return key[0] < position[0] if descending else key[0] > position[0]
    return tuple_(*key) < tuple_(*position) if descending else tuple_(*key) > tuple_(*position)
