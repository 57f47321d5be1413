"""What the edge knows of a route: its path, its limits and its cache policy."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from restwell.edge._lifecycle import Lifecycle
from restwell.errors import ErrorFormat
from restwell.rate_limits import Rate


class PathType(NamedTuple):
    """The text of a path parameter: ``matches`` accepts its one canonical form, ``parse`` returns the value."""

    matches: Callable[[str], object]
    parse: Callable[[str], Any]


UUID_TEXT: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PATH_TYPES: Final[Mapping[type, PathType]] = {
    UUID: PathType(re.compile(UUID_TEXT).fullmatch, UUID),
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

    ``path_types`` has the type of each path parameter: UUID, int or str. ``rate`` is its rate limit: None for no limit,
    UNSET for the one that all reads or all writes share, until ``with_rates`` replaces it. With ``has_guards`` the
    application counts the request, once it knows the caller; otherwise the edge counts it. ``timeout_seconds`` replaces
    the default timeout. ``query_budget`` says how often a request may run a query. ``errors``: the form of its error
    responses, if it differs from that of the application. ``lifecycle``: when it ends.

    Raises TypeError if ``cache`` is set on a route with guards, or of another method than GET.
    """

    method: str
    path: str
    path_types: Mapping[str, type] = {}
    rate: Rate | UnsetType | None = UNSET
    has_guards: bool = False
    timeout_seconds: float | None = None
    query_budget: Mapping[str, int] = {}
    cache: CachePolicy | None = None
    errors: ErrorFormat | None = None
    lifecycle: Lifecycle | None = None

    def __post_init__(self) -> None:
        if self.cache is not None and (self.has_guards or self.method != "GET"):
            raise TypeError(
                f"{self.method} {self.path} cannot be cached: it has guards, or another method than GET;"
                " remove cache= or the guards"
            )
