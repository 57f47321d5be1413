"""What a document asks for, found once: its fields with costs, and whose guards, rates and budgets apply."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)
from msgspec import Struct

from restwell.graphql._errors import DocumentTooComplex, IntrospectionDisabled, InvalidDocument
from restwell.graphql._fields import Limits
from restwell.graphql._types import SIZE, Size
from restwell.pages import MAX_LIMIT, PageFilter
from restwell.web._declarations import Guard
from restwell.web._transports import Operation

OPERATION: Final = "restwell_operation"
"""Of a field in ``extensions``: its Operation, if it calls a handler or a relation."""
DEFAULT_SIZE: Final = PageFilter().limit

_INTROSPECTION: Final = frozenset({"__schema", "__type"})


class Selected(Struct, eq=False):
    """A field of a document, with those below it that are objects.

    ``size``: how many objects it has for each of its parent, or the name of the variable that says so.
    """

    size: int | str
    below: "list[Selected]"
    operation: Operation | None = None

    def cost(self, variables: Mapping[str, Any], known: dict[int, int]) -> int:
        """The objects of it and below it, at most. ``known``: those found already; a fragment is shared."""
        key = id(self)
        if key not in known:
            size = self.size if isinstance(self.size, int) else _number(variables.get(self.size))
            below = sum(each.cost(variables, known) for each in self.below)
            known[key] = max(size, 1) * below + size
        return known[key]


class Plan(Struct, eq=False):
    """An operation of a document. ``operations``: all that it calls, once for each field."""

    kind: str
    fields: list[Selected]
    operations: list[Operation]
    guards: list[Guard]
    defaults: dict[str, Any]

    def costs(self, variables: Mapping[str, Any]) -> list[tuple[Operation, int]]:
        """The cost of each field of Query or Mutation."""
        known: dict[int, int] = {}
        given = {**self.defaults, **variables}
        return [(each.operation, each.cost(given, known)) for each in self.fields if each.operation is not None]


def make_plans(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, introspection: bool
) -> dict[str, Plan]:
    """The plan of each operation by name. The document need not be valid.

    Raises DocumentTooComplex, InvalidDocument for an unknown field and for several mutations, and
    IntrospectionDisabled.
    """
    planner = _Planner(schema, document, limits, introspection=introspection)
    plans = {
        each.name.value if each.name is not None else "": planner.plan(each)
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode)
    }
    if not plans:
        raise InvalidDocument("The document has no operation.")
    return plans


class _Planner:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, introspection: bool) -> None:
        self._schema = schema
        self._limits = limits
        self._introspection = introspection
        self._aliases = 0
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._found: dict[str, tuple[list[Selected], int]] = {}
        self._open: list[str] = []

    def plan(self, operation: OperationDefinitionNode) -> Plan:
        root = self._schema.get_root_type(operation.operation)
        kind = operation.operation.value
        if root is None:
            raise InvalidDocument(f"The schema has no {kind}.")
        fields, depth = self._select(operation.selection_set, root)
        if depth > self._limits.depth:
            raise DocumentTooComplex(f"The document has fields below more than {self._limits.depth} others.")
        if kind != "query" and len(fields) != 1:
            raise InvalidDocument(f"Send each {kind} in a request of its own.")
        operations = list(_operations(fields, self._limits.cost))
        guards = {id(guard): guard for each in operations for guard in each.guards}
        defaults = {
            each.variable.name.value: int(each.default_value.value[:10])
            for each in operation.variable_definitions or ()
            if isinstance(each.default_value, IntValueNode)
        }
        return Plan(kind, fields, operations, list(guards.values()), defaults)

    def _select(self, selections: SelectionSetNode, parent: GraphQLNamedType) -> tuple[list[Selected], int]:
        """The objects of a selection, and the depth of its fields."""
        found: list[Selected] = []
        deepest = 0
        names: Counter[str] = Counter()
        for node in selections.selections:
            if isinstance(node, FieldNode):
                names[(node.alias or node.name).value] += 1
                self._aliases += node.alias is not None
                depth = self._add_field(node, parent, found)
            else:
                below, depth = self._fragment(node, parent)
                found += below
            deepest = max(deepest, depth)
        self._aliases += sum(names.values()) - len(names)
        if self._aliases > self._limits.aliases:
            raise DocumentTooComplex(f"The document has more than {self._limits.aliases} aliases or repeated fields.")
        return found, deepest

    def _add_field(self, node: FieldNode, parent: GraphQLNamedType, found: list[Selected]) -> int:
        name = node.name.value
        if name in _INTROSPECTION:
            if not self._introspection:
                raise IntrospectionDisabled
            return 1  # whatever is below it is made of constants
        if name == "__typename":
            return 1
        field = parent.fields.get(name) if isinstance(parent, GraphQLObjectType) else None
        if field is None:
            raise InvalidDocument(f"{parent.name} has no field {name[:100]}.")
        operation: Operation | None = field.extensions.get(OPERATION)
        if node.selection_set is None and operation is None:
            return 1
        below, depth = self._select(node.selection_set, get_named_type(field.type)) if node.selection_set else ([], 0)
        size: Size | None = field.extensions.get(SIZE)
        found.append(Selected(_size(node, size or Size(0)), below, operation))
        return depth + 1

    def _fragment(
        self, node: FragmentSpreadNode | InlineFragmentNode | Any, parent: GraphQLNamedType
    ) -> tuple[list[Selected], int]:
        if isinstance(node, InlineFragmentNode):
            return self._select(node.selection_set, self._type(node.type_condition, parent))
        name = node.name.value
        if name in self._open or name not in self._fragments:
            raise InvalidDocument(f"The fragment {name[:100]} contains itself, or is not defined.")
        if name not in self._found:
            fragment = self._fragments[name]
            self._open.append(name)
            self._found[name] = self._select(fragment.selection_set, self._type(fragment.type_condition, parent))
            self._open.pop()
        return self._found[name]

    def _type(self, condition: Any, parent: GraphQLNamedType) -> GraphQLNamedType:
        return parent if condition is None else self._schema.get_type(condition.name.value) or parent


def _operations(fields: list[Selected], remaining: int) -> Iterator[Operation]:
    """What the fields call. Raises DocumentTooComplex if there are more than ``remaining``: fragments can multiply."""
    waiting = list(fields)
    while waiting:
        selected = waiting.pop()
        remaining -= 1
        if remaining < 0:
            raise DocumentTooComplex("The document has too many fields.")
        if selected.operation is not None:
            yield selected.operation
        waiting += selected.below


def _size(node: FieldNode, size: Size) -> int | str:
    """The number of objects, or the variable with it. An invalid number is refused later."""
    if not size.argument:
        return size.count
    value = next((each.value for each in node.arguments or () if each.name.value == size.argument), None)
    if isinstance(value, VariableNode):
        return value.name.value
    return _number(int(value.value[:10])) if isinstance(value, IntValueNode) else DEFAULT_SIZE


def _number(value: Any) -> int:
    return min(value, MAX_LIMIT) if type(value) is int and value > 0 else DEFAULT_SIZE
