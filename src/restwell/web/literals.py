"""How a value is written in a query string or a form: one way for each type, which is that of JSON without its quotes."""

import re
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any, Final, get_args, get_type_hints
from uuid import UUID

import msgspec

Reader = Callable[[str], Any]
"""Makes a text what it says. Raises ValueError, which says how it is written."""

_is_integer: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})").fullmatch
_is_number: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_is_uuid: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


@lru_cache(maxsize=512)
def readers_of(kind: type[msgspec.Struct]) -> dict[str, Reader]:
    """For each field, by the name it is sent as."""
    hints = get_type_hints(kind, include_extras=True)
    return {one.encode_name: _reader(set(_leaves(hints[one.name]))) for one in msgspec.structs.fields(kind)}


def _reader(leaves: set[Any]) -> Reader:
    """A text, where there may be one: then nothing tells it from anything else."""
    kinds = {leaf if isinstance(leaf, type) else type(leaf) for leaf in leaves}
    if str in kinds:
        return str
    for kind, reader in ((bool, _boolean), (float, _number), (int, _integer), (UUID, _uuid)):
        if any(issubclass(one, kind) for one in kinds):
            return reader
    return str


def _leaves(kind: Any) -> list[Any]:
    """The types that a value may have, without their constraints, or the values themselves (Literal)."""
    if isinstance(kind, type) or not get_args(kind):
        return [kind]
    arguments = get_args(kind)[:1] if hasattr(kind, "__metadata__") else get_args(kind)
    return [leaf for one in arguments for leaf in _leaves(one)]


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("Expected true or false")
    return text == "true"


def _integer(text: str) -> int:
    if not _is_integer(text):
        raise ValueError("Expected an integer, such as 10")
    return int(text)


def _number(text: str) -> float:
    if not _is_number(text):
        raise ValueError("Expected a number, such as 2.5")
    number = float(text)
    if not isfinite(number):
        raise ValueError("Number out of range")
    return number


def _uuid(text: str) -> str:
    if not _is_uuid(text):
        raise ValueError("Expected a UUID in small letters, such as 0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")
    return text
