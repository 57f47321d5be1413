"""A change of an API, and how it is classified."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec


class Level(StrEnum):
    """How a change affects the clients of the old document."""

    BREAKING = "breaking"
    """Some client that conforms to the old document fails."""

    RISKY = "risky"
    """A client fails if it relies on what the old document did not promise, such as that an enum never grows."""

    SAFE = "safe"
    """No client of the old document fails."""


class Direction(StrEnum):
    REQUEST = "request"
    RESPONSE = "response"


LEVELS: Final = tuple(Level)


class Change(msgspec.Struct, frozen=True):
    """``operations`` are those that it affects, as ``GET /v1/orders``. None: the whole API."""

    level: Level
    where: str
    what: str
    consequence: str = ""
    cure: str = ""
    operations: tuple[str, ...] = ()


def merged(changes: Iterable[Change]) -> list[Change]:
    """The changes, most severe first. Equal ones of several operations are one."""
    operations: dict[Change, dict[str, None]] = {}
    for change in changes:
        alone = msgspec.structs.replace(change, operations=())
        operations.setdefault(alone, {}).update(dict.fromkeys(change.operations))
    each = [msgspec.structs.replace(change, operations=tuple(found)) for change, found in operations.items()]
    return sorted(each, key=lambda change: LEVELS.index(change.level))
