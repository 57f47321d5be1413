"""The types of GraphQL for those of handlers: Structs, lists, pages, enums and scalars."""

import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
)
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from restwell._email_addresses import EmailAddress
from restwell.graphql._executor import PLAIN, plain
from restwell.pages import Page, PageFilter

SIZE: Final = "restwell_size"
"""Of a field in ``extensions``: how many objects it has at most, as Size."""
MAX_INT: Final = 2**31 - 1
LIST_SIZE: Final = 10
"""The length that is assumed for a list without a maximum."""
PAGE_ARGUMENTS: Final = {"limit": "first", "cursor": "after"}


class Size(Struct, frozen=True):
    """How many objects a field has for each one of its parent. ``argument``: that says so, if given."""

    count: int = 1
    argument: str = ""


class Connection(Struct):
    """A page and whether it has one before it."""

    page: Page[Any]
    has_previous: bool

    @property
    def edges(self) -> list["Edge"]:
        last = len(self.page.items) - 1
        return [Edge(self.page.next_cursor if i == last else None, each) for i, each in enumerate(self.page.items)]


class Edge(Struct):
    cursor: str | None
    node: Any


def scalar(name: str, description: str) -> GraphQLScalarType:
    """A scalar that msgspec encodes, and whose text is decoded where the argument is."""
    return GraphQLScalarType(name, serialize=_same, parse_value=_same, description=description)


def _same(value: Any) -> Any:
    return value


BIG_INT: Final = scalar("BigInt", "An integer of up to 53 bits.")
SCALARS: Final[Mapping[type, GraphQLScalarType]] = {
    bool: GraphQLBoolean,
    int: GraphQLInt,
    float: GraphQLFloat,
    str: GraphQLString,
    EmailAddress: scalar("EmailAddress", "An email address."),
    UUID: scalar("UUID", "A UUID in lower case."),
    datetime: scalar("DateTime", "A date and time with an offset (RFC 3339)."),
    date: scalar("Date", "A date (RFC 3339)."),
    time: scalar("Time", "A time (RFC 3339)."),
    Decimal: scalar("Decimal", "A number as a string."),
}
ANY: Final = scalar("JSON", "Any JSON value.")

PAGE_INFO: Final = GraphQLObjectType(
    "PageInfo",
    {
        "hasNextPage": GraphQLField(
            GraphQLNonNull(GraphQLBoolean), resolve=lambda source, _: source.page.next_cursor is not None
        ),
        "hasPreviousPage": GraphQLField(GraphQLNonNull(GraphQLBoolean), resolve=lambda source, _: source.has_previous),
        "startCursor": GraphQLField(GraphQLString, resolve=lambda _, __: None, description="Always null."),
        "endCursor": GraphQLField(
            GraphQLString,
            resolve=lambda source, _: source.page.next_cursor,
            description="The argument `after` of the next page. Null on the last page.",
        ),
    },
)


class Types:
    """Builds each type once. ``more_fields``: the fields of an object that its Struct does not have."""

    def __init__(self, more_fields: Callable[[type], dict[str, GraphQLField]]) -> None:
        self._more_fields = more_fields
        self._objects: dict[type, GraphQLObjectType] = {}
        self._inputs: dict[type, GraphQLInputObjectType] = {}
        self._connections: dict[Any, GraphQLObjectType] = {}
        self._enums: dict[type, GraphQLEnumType] = {}

    def output(self, annotation: Any) -> tuple[GraphQLOutputType, Size | None]:
        """The type of a result, nullable where it may be None. Raises TypeError for one that GraphQL has not."""
        kind, metas, nullable = unwrap(annotation)
        found: Any
        size: Size | None = None
        if get_origin(kind) is Page:
            found, size = self._connection(get_args(kind)[0]), Size(argument="first")
        elif get_origin(kind) is list:
            item, inner = self.output(get_args(kind)[0])
            length = next((each.max_length for each in metas if each.max_length is not None), LIST_SIZE)
            found, size = GraphQLList(item), Size(length) if inner is not None else None
        elif _is_struct(kind):
            found, size = self._object(kind), Size()
        else:
            found = self._leaf(kind, metas)
        return (found if nullable else GraphQLNonNull(found)), size

    def input(self, annotation: Any, *, optional: bool = False) -> GraphQLInputType:
        """The type of an argument. Raises TypeError for one that GraphQL has not."""
        kind, metas, nullable = unwrap(annotation)
        found: Any
        if get_origin(kind) is list:
            found = GraphQLList(self.input(get_args(kind)[0]))
        elif _is_struct(kind):
            found = self._input(kind)
        else:
            found = self._leaf(kind, metas)
        return found if nullable or optional else GraphQLNonNull(found)

    def arguments(self, kind: type[Struct], omit: frozenset[str] = frozenset()) -> dict[str, GraphQLArgument]:
        """An argument for each field of the Struct, with ``first`` and ``after`` for those of a page."""
        hints, is_page = get_type_hints(kind, include_extras=True), issubclass(kind, PageFilter)
        found = {}
        for each in fields(kind):
            if each.encode_name in omit:
                continue
            name = PAGE_ARGUMENTS.get(each.name) if is_page else None
            found[name or camel(each.encode_name)] = GraphQLArgument(
                self.input(hints[each.name], optional=not each.required),
                description=_description(hints[each.name]),
                out_name=each.encode_name,
            )
        return found

    def _object(self, kind: type[Struct]) -> GraphQLObjectType:
        if kind not in self._objects:
            self._objects[kind] = GraphQLObjectType(kind.__name__, lambda: self._fields(kind), description=_doc(kind))
        return self._objects[kind]

    def _fields(self, kind: type[Struct]) -> dict[str, GraphQLField]:
        hints = get_type_hints(kind, include_extras=True)
        found = {}
        for each in fields(kind):
            given, size = self.output(hints[each.name])
            found[camel(each.encode_name)] = GraphQLField(
                given,
                resolve=attribute(each.name, may_be_unset=_may_be_unset(hints[each.name])),
                description=_description(hints[each.name]),
                extensions={SIZE: size, PLAIN: plain(each.name, given)},
            )
        return found | self._more_fields(kind)

    def _connection(self, item: Any) -> GraphQLObjectType:
        """The connection of Relay. A cursor is that of the page: the last edge has it."""
        if item not in self._connections:
            node, _ = self.output(item)
            name = getattr(item, "__name__", str(item))
            edge = GraphQLObjectType(
                f"{name}Edge",
                {
                    "node": GraphQLField(node, resolve=attribute("node"), extensions={SIZE: Size(0)}),
                    "cursor": GraphQLField(
                        GraphQLString, resolve=attribute("cursor"), description="Null, except for the end of a page."
                    ),
                },
            )
            items = GraphQLNonNull(GraphQLList(node))
            edges = GraphQLNonNull(GraphQLList(GraphQLNonNull(edge)))
            self._connections[item] = GraphQLObjectType(
                f"{name}Connection",
                {
                    "nodes": GraphQLField(
                        items, resolve=lambda source, _: source.page.items, extensions={SIZE: Size(0)}
                    ),
                    "edges": GraphQLField(edges, resolve=attribute("edges"), extensions={SIZE: Size(0)}),
                    "pageInfo": GraphQLField(GraphQLNonNull(PAGE_INFO), resolve=lambda source, _: source),
                },
            )
        return self._connections[item]

    def _input(self, kind: type[Struct]) -> GraphQLInputObjectType:
        if kind not in self._inputs:
            hints = get_type_hints(kind, include_extras=True)
            self._inputs[kind] = GraphQLInputObjectType(
                kind.__name__ if kind.__name__.endswith("Request") else f"{kind.__name__}Input",
                lambda: {
                    camel(each.encode_name): GraphQLInputField(
                        self.input(hints[each.name], optional=not each.required),
                        description=_description(hints[each.name]),
                        out_name=each.encode_name,
                    )
                    for each in fields(kind)
                },
                description=_doc(kind),
            )
        return self._inputs[kind]

    def _leaf(self, kind: Any, metas: tuple[Meta, ...]) -> GraphQLOutputType:
        if isinstance(kind, type) and issubclass(kind, Enum):
            if kind not in self._enums:
                values = {each.name: each.value for each in kind}
                self._enums[kind] = _Enum(kind.__name__, values, description=_doc(kind))
            return self._enums[kind]
        if get_origin(kind) is Literal:
            return GraphQLString
        if kind is int and not any(each.le is not None and each.le <= MAX_INT for each in metas):
            return BIG_INT
        if kind is Any or get_origin(kind) is dict:
            return ANY
        if kind in SCALARS:
            return SCALARS[kind]
        raise TypeError(f"{kind} has no type in GraphQL: use a Struct, a list of one, a Page or a scalar")


class _Enum(GraphQLEnumType):
    """Its values are those of JSON."""

    def coerce_output_value(self, output_value: Any) -> str:
        return super().coerce_output_value(output_value.value if isinstance(output_value, Enum) else output_value)


def attribute(name: str, *, may_be_unset: bool = False) -> Callable[[Any, Any], Any]:
    """A resolver that reads an attribute. It is faster than that of the library, which also takes methods."""

    def resolve(source: Any, _info: Any) -> Any:
        return getattr(source, name)

    def resolve_unset(source: Any, _info: Any) -> Any:
        value = getattr(source, name)
        return None if value is UNSET else value

    return resolve_unset if may_be_unset else resolve


@lru_cache(4_096)
def camel(name: str) -> str:
    """``unit_price_cents`` as ``unitPriceCents``."""
    first, *rest = name.split("_")
    return first + "".join(each.title() for each in rest)


def unwrap(annotation: Any) -> tuple[Any, tuple[Meta, ...], bool]:
    """The type without Annotated and None, its constraints, and whether it may be None or unset."""
    metas: tuple[Meta, ...] = ()
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            metas += tuple(each for each in annotation.__metadata__ if isinstance(each, Meta))
            annotation = get_args(annotation)[0]
            continue
        if get_origin(annotation) in {Union, UnionType}:
            arms = [each for each in get_args(annotation) if each not in {NoneType, UnsetType}]
            nullable = nullable or len(arms) < len(get_args(annotation))
            if len(arms) == 1:
                annotation = arms[0]
                continue
        return annotation, metas, nullable


def _may_be_unset(annotation: Any) -> bool:
    return UnsetType in get_args(annotation) or any(_may_be_unset(each) for each in get_args(annotation))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _description(annotation: Any) -> str | None:
    _, metas, _ = unwrap(annotation)
    return next((each.description for each in metas if each.description), None)


def _doc(kind: type) -> str | None:
    return inspect.cleandoc(kind.__doc__) if kind.__doc__ else None
