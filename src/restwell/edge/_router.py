"""Finds the route of a path in time proportional to its length: a tree of path segments."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from restwell.edge._route import PATH_TYPES, PathType, Route, path_parameters

R = TypeVar("R", bound=Route)


class Match(NamedTuple, Generic[R]):
    """The routes of a path by method, and the values of its parameters in order."""

    routes: dict[str, R]
    values: tuple[Any, ...]


class _Node(Generic[R]):
    __slots__ = ("literals", "routes", "typed")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[R]] = {}
        self.typed: list[tuple[type, PathType, _Node[R]]] = []
        self.routes: dict[str, R] = {}


class Router(Generic[R]):
    """The routes of an application. A literal segment precedes a parameter, and UUID precedes int precedes str.

    Raises TypeError for two routes with the same method and path, and for a parameter without a type.
    """

    def __init__(self, routes: Iterable[R]) -> None:
        self._root: _Node[R] = _Node()
        self._without_parameters: dict[str, Match[R]] = {}
        for route in routes:
            self._add(route)

    def find(self, path: str) -> Match[R] | None:
        """The routes of the path, or None. A parameter in another than its canonical form does not match."""
        match = self._without_parameters.get(path)
        if match is not None:
            return match
        return _find(self._root, path.split("/"), 0)

    def _add(self, route: R) -> None:
        names = path_parameters(route.path)
        node = self._root
        for segment in route.path.split("/"):
            name = segment[1:-1]
            node = _child(node, _type_of(route, name) if segment.startswith("{") else segment)
        if route.method in node.routes:
            raise TypeError(f"two routes have the method and path {route.method} {route.path}")
        node.routes[route.method] = route
        if not names:
            self._without_parameters[route.path] = Match(node.routes, ())


def _type_of(route: Route, name: str) -> type:
    kind = route.path_types.get(name)
    if kind not in PATH_TYPES:
        raise TypeError(f"{route.method} {route.path} needs the type of the parameter {name}: UUID, int or str")
    return kind


def _child(node: _Node[R], segment: str | type) -> _Node[R]:
    if isinstance(segment, str):
        return node.literals.setdefault(segment, _Node())
    for kind, _, child in node.typed:
        if kind is segment:
            return child
    child = _Node[R]()
    node.typed.append((segment, PATH_TYPES[segment], child))
    node.typed.sort(key=lambda each: _PRECEDENCE.index(each[0]))
    return child


def _find(node: _Node[R], segments: Sequence[str], index: int) -> Match[R] | None:
    if index == len(segments):
        return Match(node.routes, ()) if node.routes else None
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None and (found := _find(child, segments, index + 1)) is not None:
        return found
    for _, (matches, parse), child in node.typed:
        if matches(segment) and (found := _find(child, segments, index + 1)) is not None:
            return Match(found.routes, (parse(segment), *found.values))
    return None


_PRECEDENCE: Final = tuple(PATH_TYPES)
