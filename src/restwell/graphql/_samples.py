"""A document for an operation, to test who may run it."""

from collections import deque
from typing import Final

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)

from restwell.web._transports import Operation

_VALUES: Final = {"Boolean": "true", "Float": "1.5", "Int": "1", "BigInt": "1"}
_TEXTS: Final = {"UUID": "ffffffff-ffff-ffff-ffff-ffffffffffff", "DateTime": "2026-01-31T09:30:00Z"}


def sample_document(schema: GraphQLSchema, operation: Operation) -> str:
    """The shortest document with the field of the operation, with required arguments only."""
    roots = {"MUTATION": schema.mutation_type, "SUBSCRIPTION": schema.subscription_type}
    root = roots.get(operation.kind, schema.query_type)
    owner, _, name = operation.name.rpartition(".")
    waiting: deque[tuple[GraphQLObjectType, tuple[str, ...]]] = deque([(root, ())] if root is not None else [])
    seen = set()
    while waiting:
        kind, path = waiting.popleft()
        if kind.name == (owner or kind.name) and name in kind.fields:
            return _nested(operation.kind, [*path, _call(name, kind.fields[name])], kind.fields[name])
        for each, field in kind.fields.items():
            below = get_named_type(field.type)
            if isinstance(below, GraphQLObjectType) and below.name not in seen:
                seen.add(below.name)
                waiting.append((below, (*path, _call(each, field))))
    raise LookupError(f"no query has the field {operation.name}")


def _nested(kind: str, path: list[str], last: GraphQLField) -> str:
    inner = " { __typename }" if isinstance(get_named_type(last.type), GraphQLObjectType) else ""
    text = "{ " + " { ".join(path) + inner + " }" * len(path)
    return text if kind in {"QUERY", "FIELD"} else f"{kind.lower()} {text}"


def _call(name: str, field: GraphQLField) -> str:
    required = [
        f"{each}: {_value(argument.type)}"
        for each, argument in field.args.items()
        if isinstance(argument.type, GraphQLNonNull)
    ]
    return f"{name}({', '.join(required)})" if required else name


def _value(kind: object) -> str:
    if isinstance(kind, GraphQLNonNull):
        return _value(kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{_value(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    if isinstance(kind, GraphQLInputObjectType):
        required = {each: field.type for each, field in kind.fields.items() if isinstance(field.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{each}: {_value(given)}" for each, given in required.items()) + "}"
    name = str(kind)
    return _VALUES.get(name) or f'"{_TEXTS.get(name, "text")}"'
