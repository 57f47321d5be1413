"""Conversion between messages and the types of handlers, compiled at start. They must have the same fields."""

from collections.abc import Callable, Mapping
from datetime import UTC
from operator import attrgetter
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import UNSET
from msgspec import inspect as types

Convert = Callable[[Any], Any] | None
"""None for values that are the same on both sides."""
Read = Callable[[Message], dict[str, Any]]
Write = Callable[[Any], Message]

TIMESTAMP: Final = "google.protobuf.Timestamp"
_F: Final = FieldDescriptor
_INTEGERS: Final = frozenset(
    {_F.TYPE_INT32, _F.TYPE_INT64, _F.TYPE_UINT32, _F.TYPE_UINT64, _F.TYPE_SINT32, _F.TYPE_SINT64}
    | {_F.TYPE_FIXED32, _F.TYPE_FIXED64, _F.TYPE_SFIXED32, _F.TYPE_SFIXED64}
)
_SCALARS: Final[Mapping[type, tuple[frozenset[int], Convert]]] = {
    types.BoolType: (frozenset({_F.TYPE_BOOL}), None),
    types.BytesType: (frozenset({_F.TYPE_BYTES}), None),
    types.CustomType: (frozenset({_F.TYPE_STRING}), str),
    types.FloatType: (frozenset({_F.TYPE_DOUBLE, _F.TYPE_FLOAT}), None),
    types.IntType: (_INTEGERS, None),
    types.LiteralType: (frozenset({_F.TYPE_STRING}), None),
    types.StrType: (frozenset({_F.TYPE_STRING}), None),
    types.UUIDType: (frozenset({_F.TYPE_STRING}), str),
}
"""The types of fields that may hold each type, and how a value is written. They are read as they are."""


class Expected(msgspec.Struct):
    """A field that a message must have. Without ``required``, zero in a field without presence means: not given."""

    type: types.Type
    required: bool


def struct_fields(kind: Any) -> dict[str, Expected]:
    """The fields of a Struct by name."""
    info = types.type_info(kind)
    if not isinstance(info, types.StructType):
        raise TypeError(f"{kind} is no Struct: only its fields can be those of a message")
    return _expected(info)


def compile_reader(message: Descriptor, fields: Mapping[str, Expected]) -> Read:
    """Reads a message into builtin values by name. Raises TypeError unless it has exactly these fields."""
    _compare(message, fields)
    parts = [
        (name, field.has_presence, expected.required, _reader(field, expected.type))
        for name, expected in fields.items()
        for field in (message.fields_by_name[name],)
    ]

    def read(source: Message) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, has_presence, required, convert in parts:
            value = getattr(source, name)
            if (source.HasField(name)) if has_presence else (value or required):
                values[name] = convert(value) if convert is not None else value
        return values

    return read


def compile_writer(message: Descriptor, kind: Any) -> Write:
    """Writes a value as a message: a Struct by its fields, or as the only field of a message such as GetBookResponse.

    Raises TypeError unless it has exactly these fields.
    """
    info = types.type_info(kind)
    if isinstance(info, types.StructType) and (len(message.fields) != 1 or message.fields[0].name in _expected(info)):
        return _struct_writer(message, info)
    if len(message.fields) != 1:
        raise TypeError(f"{message.full_name} must have one field, because {kind} is no Struct")
    field, cls = message.fields[0], GetMessageClass(message)
    convert = _writer(field, info)
    name: str = field.name
    return lambda value: cls(**{name: convert(value) if convert is not None else value})


def _struct_writer(message: Descriptor, info: types.StructType) -> Write:
    fields = _expected(info)
    _compare(message, fields)
    parts = [
        (name, attrgetter(name), _writer(message.fields_by_name[name], expected.type))
        for name, expected in fields.items()
    ]
    cls = GetMessageClass(message)

    def write(source: Any) -> Message:
        values = {}
        for name, get, convert in parts:
            value = get(source)
            if value is not None and value is not UNSET:
                values[name] = convert(value) if convert is not None else value
        return cls(**values)

    return write


def _expected(info: types.StructType) -> dict[str, Expected]:
    return {field.encode_name: Expected(field.type, field.required) for field in info.fields}


def _compare(message: Descriptor, fields: Mapping[str, Expected]) -> None:
    """Raises TypeError for a field that only one side has."""
    names = {field.name for field in message.fields}
    for missing, problem in (
        (fields.keys() - names, "lacks"),
        (names - fields.keys(), "has, and the handler has not,"),
    ):
        if missing:
            raise TypeError(f"{message.full_name} {problem} {', '.join(sorted(missing))}")


def _reader(field: FieldDescriptor, kind: types.Type) -> Convert:
    item, kind = _item(field, kind)
    convert = _item_reader(field, kind)
    if not item:
        return convert
    return (lambda values: [convert(each) for each in values]) if convert is not None else list


def _item_reader(field: FieldDescriptor, kind: types.Type) -> Convert:
    if isinstance(kind, types.StructType) and field.message_type is not None:
        return compile_reader(field.message_type, _expected(kind))
    if isinstance(kind, types.DateTimeType) and _is_timestamp(field):
        return lambda value: value.ToDatetime(UTC)
    if isinstance(kind, types.EnumType) and field.enum_type is not None:
        values = {number: member.value for member, number in _numbers(field.enum_type, kind).items()}
        return lambda number: values.get(number, str(number))  # an unknown one is an invalid value
    _scalar(field, kind)
    return None


def _writer(field: FieldDescriptor, kind: types.Type) -> Convert:
    item, kind = _item(field, kind)
    convert = _item_writer(field, kind)
    return (lambda values: [convert(each) for each in values]) if item and convert is not None else convert


def _item_writer(field: FieldDescriptor, kind: types.Type) -> Convert:
    if isinstance(kind, types.StructType) and field.message_type is not None:
        return _struct_writer(field.message_type, kind)
    if isinstance(kind, types.DateTimeType) and _is_timestamp(field):
        return None
    if isinstance(kind, types.EnumType) and field.enum_type is not None:
        return _numbers(field.enum_type, kind).__getitem__
    return _scalar(field, kind)


def _item(field: FieldDescriptor, kind: types.Type) -> tuple[bool, types.Type]:
    """Whether the field is repeated, and the type of its items; without None. Raises TypeError if only one side is."""
    if isinstance(kind, types.UnionType):
        others = [each for each in kind.types if not isinstance(each, types.NoneType)]
        if len(others) > 1:
            raise TypeError(f"{field.full_name} cannot be one of several types")
        kind = others[0]
    is_list = isinstance(kind, types.ListType | types.SetType | types.FrozenSetType | types.VarTupleType)
    if is_list != field.is_repeated:
        raise TypeError(f"{field.full_name} must{'' if is_list else ' not'} be repeated")
    item: types.Type = kind.item_type if is_list else kind  # type: ignore[attr-defined]  # each of these types has it
    while isinstance(item, types.Metadata):
        item = item.type
    return is_list, item


def _is_timestamp(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == TIMESTAMP


def _numbers(enum: EnumDescriptor, kind: types.EnumType) -> dict[Any, int]:
    """The number of each member: STATUS_PAID of the enum Status is PAID. Raises TypeError for other members."""
    prefix = "".join(f"_{each}" if each.isupper() else each for each in enum.name).upper().removeprefix("_") + "_"
    numbers = {value.name.removeprefix(prefix): value.number for value in enum.values if value.number}
    members: dict[str, Any] = {member.name: member for member in kind.cls}
    if numbers.keys() != members.keys():
        different = ", ".join(sorted(numbers.keys() ^ members.keys()))
        raise TypeError(f"{enum.full_name} and {kind.cls.__name__} differ: {different}")
    return {member: numbers[name] for name, member in members.items()}


def _scalar(field: FieldDescriptor, kind: types.Type) -> Convert:
    allowed, convert = _SCALARS.get(type(kind), (frozenset(), None))
    if field.type not in allowed:
        raise TypeError(f"{field.full_name} has another type than the handler, {type(kind).__name__}")
    return convert
