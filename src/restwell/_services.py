"""Builds the services of an application, each once, from the types of their parameters."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class _Entry(NamedTuple):
    """``kind``: the type by which the service is found. ``build``: a class, or a function that returns the service."""

    kind: Any
    build: Callable[..., object]


class Services:
    """Services by type.

    An entry is a service; a class, whose parameters are services; or a function whose parameters are services and whose
    return type is that of its service. A parameter with a default is not filled; a ``Sequence[...]`` gets every service
    that is one. ``parts``: functions that return the parts of the kit, by the ``type_name`` of exactly their type, so
    that optional ones need no import.
    """

    def __init__(self, entries: Iterable[object], parts: Mapping[str, Callable[[], object]]) -> None:
        self._entries = [_entry(each) for each in entries]
        self._parts = parts
        self._built: dict[int, object] = {}
        self._found: dict[type, int | None] = {}
        self._building: list[str] = []

    def find(self, kind: Any) -> object | None:
        """The first service that is a ``kind``, or None. Raises TypeError if it cannot be built."""
        if (index := self._index_of(kind)) is not None:
            return self._service(index)
        part = self._parts.get(type_name(kind))
        return part() if part is not None else None

    def _index_of(self, kind: Any) -> int | None:
        if kind not in self._found:
            provided = (index for index, entry in enumerate(self._entries) if _provides(entry.kind, kind))
            self._found[kind] = next(provided, None)
        return self._found[kind]

    def build(self, kind: Callable[..., T]) -> T:
        """Build an object from services. Raises TypeError if one is missing."""
        return cast("T", self._build(_Entry(kind, kind)))

    def build_all(self) -> list[object]:
        """Every service of the application. Raises TypeError if one cannot be built."""
        return [self._service(index) for index in range(len(self._entries))]

    def _service(self, index: int) -> object:
        if index not in self._built:
            self._built[index] = self._build(self._entries[index])
        return self._built[index]

    def _build(self, entry: _Entry) -> object:
        name = _name(entry.build)
        if name in self._building:
            raise TypeError(
                f"services need each other: {' needs '.join([*self._building, name])};"
                " move what both need into a third service"
            )
        self._building.append(name)
        try:
            return entry.build(**{each: self._argument(name, each, kind) for each, kind in _parameters(entry.build)})
        finally:
            self._building.pop()

    def _argument(self, name: str, parameter: str, kind: Any) -> object:
        if get_origin(kind) is Sequence:
            (wanted,) = get_args(kind)
            return [self._service(index) for index, entry in enumerate(self._entries) if _provides(entry.kind, wanted)]
        service = self.find(kind)
        if service is None:
            raise TypeError(
                f"{name} needs {parameter}: {_name(kind)}, which is no service; add it to the services of a Feature"
            )
        return service


def type_name(kind: Any) -> str:
    """The module and the name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else ""


def _entry(given: object) -> _Entry:
    if isinstance(given, type):
        return _Entry(given, given)
    if inspect.isfunction(given):
        kind = get_type_hints(given).get("return")
        if kind is None:
            raise TypeError(f"{given.__qualname__} has no return type; annotate it with the type of its service")
        return _Entry(kind, given)
    return _Entry(type(given), lambda: given)


def _parameters(build: Callable[..., object]) -> list[tuple[str, Any]]:
    """The parameters without a default, with their types. Raises TypeError for one without a type."""
    hints = get_type_hints(inspect.getattr_static(build, "__init__") if isinstance(build, type) else build)
    found = []
    for name, parameter in inspect.signature(build).parameters.items():
        if parameter.default is parameter.empty and parameter.kind not in {
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        }:
            if name not in hints:
                raise TypeError(f"{_name(build)} has the parameter {name} without a type; annotate it")
            found.append((name, hints[name]))
    return found


def _provides(kind: Any, wanted: Any) -> bool:
    if kind is wanted:
        return True
    if not isinstance(kind, type) or not isinstance(wanted, type) or getattr(wanted, "_is_protocol", False):
        return False
    return issubclass(kind, wanted)


def _name(kind: Any) -> str:
    return getattr(kind, "__qualname__", str(kind))
