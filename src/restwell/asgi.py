"""The kit around an existing ASGI application, such as one of FastAPI, Starlette or Litestar: ``kit.wrap``."""

import re
from collections.abc import Callable, Collection, Mapping
from string import Formatter
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType

from restwell.edge._context import SCOPE_KEY, AsgiApp, Receive, RequestContext, Scope, Send, request_context
from restwell.edge._problem import error_response as response_to
from restwell.edge._route import Route as EdgeRoute
from restwell.errors import PROBLEMS, AppError, ErrorFormat
from restwell.rate_limits import Rate
from restwell.web._caching import Public

__all__ = ["Route", "error_response"]

_MAX_PARAMETERS: Final = 100
_parameter: Final = re.compile(r"\{(\w+)(?::(?!path\})\w+)?\}")


class Route(Struct, frozen=True):
    """What the kit does for a route of the application: ``Route("GET", "/items/{item_id}", cache=public(...))``.

    ``path``: as the framework has it. A parameter is 1 to 100 characters without a slash or control characters; other
    requests have the default limits. ``query``: the query parameters that a cached response depends on; the application
    sees no others. None for the whole query string. ``per_user``: the application counts the request, with
    ``kit.count_request``. The others are as in ``restwell.web.get``.
    """

    method: str
    path: str
    cache: Public | None = None
    query: tuple[str, ...] | None = None
    rate_limit: Rate | UnsetType | None = UNSET
    per_user: bool = False
    timeout_seconds: float | None = None
    query_budget: Mapping[str, int] = {}


def compile_route(route: Route) -> EdgeRoute:
    """The route as the edge reads it. Raises TypeError for a wrong declaration, naming the route and the fix."""
    name = f"{route.method} {route.path}"
    if not (route.method.isascii() and route.method.isupper()):
        raise TypeError(f"{name}: write the method in capitals")
    parameters = [match[1] for match in _parameter.finditer(route.path)]
    cache = route.cache
    if cache is not None and (route.per_user or route.method != "GET"):
        raise TypeError(f"{name} cannot be cached: only GET routes that are the same for every client can")
    if cache is not None and not callable(cache.tags):
        known = {*parameters, *(route.query or ())}
        used = {field for tag in cache.tags for _, field, _, _ in Formatter().parse(tag) if field is not None}
        if used - known:
            raise TypeError(
                f"{name} has a tag with {{{min(used - known)}}}: name a path parameter, or list it in query="
            )
    return EdgeRoute(
        method=route.method,
        path=_parameter.sub(r"{\1}", route.path),
        path_types=dict.fromkeys(parameters, str),
        rate=route.rate_limit,
        has_guards=route.per_user,
        timeout_seconds=route.timeout_seconds,
        query_budget=route.query_budget,
        cache=msgspec.structs.replace(cache.policy(None), read_query=_query_reader(route.query)) if cache else None,
    )


def _query_reader(names: Collection[str] | None) -> Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]:
    """Returns the values of the parameters and the query string with only these, in the order of ``names``."""
    if names is None:
        return lambda query_string: ({}, query_string)

    def read(query_string: bytes) -> tuple[Mapping[str, Any], bytes] | None:
        try:
            text = query_string.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
        except ValueError:
            return None  # the application responds with the error
        used = [(name, value) for each in names for name, value in pairs if name == each]
        return dict.fromkeys(names, "") | dict(used), urlencode(used).encode()

    return read


def error_response(scope: Scope, error: AppError, errors: ErrorFormat = PROBLEMS) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the response to an AppError, for an exception handler of the application."""
    context: RequestContext | None = scope.get(SCOPE_KEY)
    status, headers, body = response_to(error, context.request_id if context is not None else "", errors)
    return status, {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}, body


def with_sent_method(app: AsgiApp) -> AsgiApp:
    """The application, which sees HEAD as it was sent; the edge would replace it by GET."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["method"] = request_context(scope).method
        await app(scope, receive, send)

    return call
