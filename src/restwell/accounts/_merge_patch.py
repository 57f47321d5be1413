"""JSON Merge Patch (RFC 7396) of a Struct."""

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, Struct, UnsetType, defstruct, field, structs


@cache  # one type for all fields of a Struct: OpenAPI has no two of one name
def merge_patch_type(kind: type[Struct]) -> type[Struct]:
    """The type of a patch: every field may be omitted, or null to remove it. Unknown fields are refused.

    Objects are merged, other values replaced.
    """
    hints = get_type_hints(kind, include_extras=True)
    return defstruct(
        f"{kind.__name__}Update",
        [
            (each.name, _patched(hints[each.name]) | None | UnsetType, field(default=UNSET, name=each.encode_name))
            for each in structs.fields(kind)
        ],
        module=kind.__module__,
        namespace={"__doc__": "An omitted field keeps its value. `null` resets a field to its default."},
        frozen=True,
        forbid_unknown_fields=True,
    )


def merge(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The target with the patch applied."""
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value) if isinstance(value, Mapping) else value
    return merged


def _patched(annotation: Any) -> Any:
    """The type of a value in a patch: it differs for objects, which are merged."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_patched(arguments[0]), *arguments[1:])]
    if origin in {Union, UnionType}:
        return Union[tuple(_patched(each) for each in arguments)]  # noqa: UP007  # of a tuple
    if origin is dict:
        return dict[arguments[0], _patched(arguments[1]) | None]  # type: ignore[misc,valid-type]  # at run time
    if _is_object(annotation):
        return merge_patch_type(annotation)
    return annotation


def _is_object(annotation: Any) -> bool:
    if not isinstance(annotation, type) or not issubclass(annotation, Struct):
        return False
    config = annotation.__struct_config__
    return not config.array_like and config.tag is None  # those of a tagged union are replaced
