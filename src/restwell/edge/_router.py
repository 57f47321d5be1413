"""Finds the route of a path in time proportional to its length: a tree of path segments."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from restwell.edge._route import PATH_TYPES, PathType, Route

R = TypeVar("R", bound=Route)

MAX_RECENT: Final = 4_096
"""The number of paths with parameters that are remembered per method; parsing one costs microseconds."""
MAX_RECENT_CHARS: Final = 200
"""A longer path is not remembered."""

_parameter: Final = re.compile(r"\{(\w+)\}").fullmatch
_PRECEDENCE: Final = tuple(PATH_TYPES)


class Match(NamedTuple, Generic[R]):
    """The route of a request, and the values of its path parameters by name."""

    route: R
    parameters: Mapping[str, Any]


class _Node(Generic[R]):
    """``routes`` are those of the path that ends here, by method, each with the names of its parameters in order."""

    __slots__ = ("literals", "routes", "typed")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[R]] = {}
        self.typed: list[tuple[type, PathType, _Node[R]]] = []
        self.routes: dict[str, tuple[R, list[str]]] = {}


class Router(Generic[R]):
    """The routes of an application. A literal segment precedes a parameter, and UUID precedes int precedes str.

    Raises TypeError for two routes with the same method and path, for a parameter without a type, and for an invalid
    path.
    """

    def __init__(self, routes: Iterable[R]) -> None:
        self._root: _Node[R] = _Node()
        self._max_segments = 0
        self._literal: defaultdict[str, dict[str, Match[R]]] = defaultdict(dict)
        for route in routes:
            self._add(route)
        self._recent: dict[str, dict[str, Match[R]]] = {method: {} for method in self._literal}

    def find(self, method: str, path: str) -> Match[R] | None:
        """The route, or None if the path, or this method of it, has none. HEAD is not GET here.

        A parameter in another than its canonical form does not match.
        """
        literal = self._literal.get(method)
        if literal is None:
            return None
        match = literal.get(path)
        if match is not None:
            return match
        recent = self._recent[method]
        match = recent.get(path)
        if match is None:
            found = self._find(path)
            if found is None or method not in found[0].routes:
                return None
            route, names = found[0].routes[method]
            match = Match(route, dict(zip(names, reversed(found[1]), strict=True)))
            if len(path) <= MAX_RECENT_CHARS:
                if len(recent) >= MAX_RECENT:
                    recent.clear()
                recent[path] = match
        return match

    def allowed(self, path: str) -> str | None:
        """The value of the Allow header; None if the path has no routes. OPTIONS is allowed, and HEAD where GET is."""
        found = self._find(path)
        if found is None:
            return None
        methods = {*found[0].routes, "OPTIONS"}
        return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))

    def _find(self, path: str) -> tuple[_Node[R], list[Any]] | None:
        """The node at which the path ends, and the values of its parameters in reverse order."""
        values: list[Any] = []
        node = _find(self._root, path.split("/", self._max_segments), 0, values)
        return (node, values) if node is not None else None

    def _add(self, route: R) -> None:
        segments = route.path.split("/")
        names = [match[1] for segment in segments if (match := _parameter(segment))]
        literals = [segment for segment in segments if not _parameter(segment)]
        if segments[0] or any(set(segment) & {"{", "}"} for segment in literals) or len(set(names)) < len(names):
            raise TypeError(
                f"{route.method} {route.path} is not a path such as /orders/{{order_id}}: it begins with a slash,"
                " each parameter is a whole segment, and no two have the same name"
            )
        node = self._root
        for segment in segments:
            match = _parameter(segment)
            node = _child(node, _type_of(route, match[1]) if match else segment)
        if route.method in node.routes:
            raise TypeError(
                f"two routes have the method and path {route.method} {route.path}"
                f" ({node.routes[route.method][0].path}); remove one, or change its path"
            )
        node.routes[route.method] = route, names
        self._max_segments = max(self._max_segments, len(segments))
        by_path = self._literal[route.method]
        if not names:
            by_path[route.path] = Match(route, {})


def _type_of(route: Route, name: str) -> type:
    kind = route.path_types.get(name)
    if kind is None or kind not in PATH_TYPES:
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


def _find(node: _Node[R], segments: Sequence[str], index: int, values: list[Any]) -> _Node[R] | None:
    """Visits each node at most once, because each has one path from the root."""
    if index == len(segments):
        return node if node.routes else None
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None and (found := _find(child, segments, index + 1, values)) is not None:
        return found
    for _, (matches, parse), child in node.typed:
        if matches(segment) and (found := _find(child, segments, index + 1, values)) is not None:
            values.append(parse(segment))
            return found
    return None
