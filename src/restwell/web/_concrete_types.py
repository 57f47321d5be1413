"""The concrete types of declared ones in the annotations of handlers."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin


def with_concrete_types(annotation: Any, types: Mapping[Any, Any]) -> Any:
    """The annotation with each declared type replaced: ``Page[User] | None`` as ``Page[ShopUser] | None``."""
    if isinstance(annotation, type) and annotation in types:
        return types[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(with_concrete_types(arguments[0], types), *arguments[1:])]
    replaced = tuple(with_concrete_types(each, types) for each in arguments)
    if replaced == arguments and origin not in types:
        return annotation
    origin = types.get(origin, origin)
    return Union[replaced] if origin in {Union, UnionType} else origin[replaced]  # noqa: UP007  # of a tuple
