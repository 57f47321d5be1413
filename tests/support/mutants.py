"""What a mutant of an OpenAPI document is."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from restwell._api._changes import Change, Level

Json = dict[str, Any]
DELETED: Final = object()
BREAKING, RISKY, SAFE = Level


@dataclass(frozen=True)
class Mutant:
    """``edits``: a container, a key, and the new value. ``level``: of the most severe change, or None for no change."""

    kind: str
    where: str
    edits: tuple[tuple[Any, Any, Any], ...]
    level: Level | None

    @contextmanager
    def applied(self) -> Iterator[None]:
        before = [(container, key, _get(container, key)) for container, key, _ in self.edits]
        self._write(self.edits)
        try:
            yield
        finally:
            self._write(tuple(reversed(before)))

    @staticmethod
    def _write(edits: tuple[tuple[Any, Any, Any], ...] | list[tuple[Any, Any, Any]]) -> None:
        for container, key, value in edits:
            if value is DELETED:
                del container[key]
            else:
                container[key] = value


def _get(container: Any, key: Any) -> Any:
    return container[key] if isinstance(container, list) else container.get(key, DELETED)


Edits = tuple[tuple[Any, Any, Any], ...]
Found = Iterator[tuple[str, Edits, Level | None]]
"""The kind of a mutant, its edits, and its level."""


def severity(changes: list[Change]) -> Level | None:
    return min((change.level for change in changes), key=list(Level).index, default=None)


def sampled(mutants: Iterator[Mutant], per_kind: int) -> list[Mutant]:
    """At most so many of each kind, chosen at random but always the same."""
    kinds: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        kinds.setdefault(mutant.kind, []).append(mutant)
    chance = random.Random(5)  # noqa: S311  # the same choice in each run
    return [each for found in kinds.values() for each in chance.sample(found, min(per_kind, len(found)))]


def operations_of(document: Json) -> Iterator[tuple[str, Json, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", item, method, operation
