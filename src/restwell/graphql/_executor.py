"""The executor of the library, with a shorter way for fields that are attributes."""

from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
)
from graphql.execution import Executor

PLAIN: Final = "restwell_plain"
"""Of a field in ``extensions``: its attribute, and the type whose values need no conversion; None for any."""

_PYTHON_TYPES: Final[dict[GraphQLScalarType, type]] = {
    GraphQLBoolean: bool,
    GraphQLFloat: float,
    GraphQLInt: int,
    GraphQLString: str,
}


def plain(attribute: str, given: GraphQLOutputType) -> tuple[str, type | None] | None:
    """The value of PLAIN for a field of this type; None if its values need a conversion."""
    kind = given.of_type if isinstance(given, GraphQLNonNull) else given
    return (attribute, _PYTHON_TYPES.get(kind)) if isinstance(kind, GraphQLScalarType) else None


class AttributeExecutor(Executor[Any]):
    """Reads the fields of an object directly if all are attributes with values of scalar types.

    A list of 20 with 5 fields takes half the time. Everything else, and each error, is left to the library. Its method
    is not part of its public API: hence the limit of its version in pyproject.toml.
    """

    def execute_fields(
        self, parent_type: Any, source_value: Any, path: Any, grouped_field_set: Any, position_context: Any
    ) -> Any:
        results = {}
        fields = parent_type.fields
        for name, details in grouped_field_set.items():
            field = fields.get(details[0].node.name.value)
            found = field.extensions.get(PLAIN) if field is not None else None
            if found is None:
                break
            value = getattr(source_value, found[0], None)
            if type(value) is not found[1] and (found[1] is not None or value is None):
                break
            results[name] = value
        else:
            return results
        return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
