"""What the edge knows of a route: its path, its limits and its cache policy."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from restwell.rate_limits import Rate

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class PathType(NamedTuple):
    """The text of a path parameter: ``matches`` accepts its one canonical form, ``parse`` returns the value."""

    matches: Callable[[str], object]
    parse: Callable[[str], Any]


PATH_TYPES: Final[Mapping[type, PathType]] = {
    UUID: PathType(re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch, UUID),
    int: PathType(re.compile("0|-?[1-9][0-9]{0,17}").fullmatch, int),
    str: PathType(re.compile("[^/\x00-\x1f\x7f]{1,100}").fullmatch, str),
}
"""By precedence. Other spellings would multiply cache entries, and bypass the path rules of a proxy."""


class CachePolicy(Struct, frozen=True):
    """How the responses of a route are cached.

    ``read_query`` returns the values of the query and its normalized form, or None if the query is invalid. ``tags``
    computes the cache tags from the values of path and query. Clients may use a response for ``client_seconds`` without
    revalidation.
    """

    ttl_seconds: float
    client_seconds: int
    vary: tuple[bytes, ...]
    tags: Callable[[Mapping[str, Any]], Sequence[str]]
    read_query: Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]


class Route(Struct, frozen=True, kw_only=True):
    """A method of a path, such as GET ``/products/{product_id}``.

    ``path_types`` has the type of each path parameter: UUID, int or str. ``rate`` is its rate limit, None for no limit.
    With ``has_guards`` the application counts the request, once it knows the caller; otherwise the edge counts it.
    ``timeout_seconds`` replaces the default timeout. ``query_budget`` says how often a request may run a query.
    """

    method: str
    path: str
    path_types: Mapping[str, type] = {}
    rate: Rate | None = None
    has_guards: bool = False
    timeout_seconds: float | None = None
    query_budget: Mapping[str, int] = {}
    cache: CachePolicy | None = None


def path_parameters(path: str) -> list[str]:
    """The names of the parameters of a path template, in order."""
    return _PLACEHOLDER.findall(path)
