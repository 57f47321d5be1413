"""Public response caching of a route: ``@get(cached=public(ttl_seconds=60, tags=["product:{product_id}"]))``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct
from msgspec.structs import fields

from restwell.edge._response_cache import CachedRoute
from restwell.errors import AppError
from restwell.web._paths import path_pattern
from restwell.web._rate_limits import effective_rate, route_guards
from restwell.web._request import decode_query

Tags = Sequence[str] | Callable[[Mapping[str, Any]], Sequence[str]]


class Public(Struct, frozen=True):
    """The arguments of ``public``."""

    ttl_seconds: float
    tags: Tags
    client_seconds: int
    vary: tuple[str, ...]


def public(*, ttl_seconds: float, tags: Tags, client_seconds: int = 0, vary: Sequence[str] = ()) -> Public:
    """Cache the response of a GET route for all clients, for ``ttl_seconds`` or until one of ``tags`` is invalidated.

    Tags may contain path and query parameters, such as ``"product:{product_id}"``, or be a function of their values.
    Clients revalidate before each use and get 304 while the response is unchanged. With ``client_seconds`` they may
    reuse it for that time. The handler sees only the request headers in ``vary``. A 404 is cached for a few seconds.
    """
    return Public(ttl_seconds, tags, client_seconds, tuple(vary))


def cached_routes(app: Litestar) -> list[CachedRoute]:
    """The cached routes. Raises TypeError for a cached route with a guard or with another method than GET."""
    return [
        _cached_route(route, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if isinstance(handler.opt.get("cached"), Public)
    ]


def _cached_route(route: HTTPRoute, handler: HTTPRouteHandler) -> CachedRoute:
    policy: Public = handler.opt["cached"]
    if route_guards(handler) or handler.http_methods != {"GET"}:
        raise TypeError(f"{handler.handler_name} cannot be cached: it has guards, or another method than GET")
    filters = handler.parsed_fn_signature.parameters.get("filters")
    return CachedRoute(
        template=route.path_format,
        pattern=path_pattern(route.path),
        handler=handler,
        read_path=_path_parser(route),
        read_query=_query_parser(filters.annotation if filters is not None else None),
        tags=_tag_builder(policy.tags),
        ttl_seconds=policy.ttl_seconds,
        client_seconds=policy.client_seconds,
        vary=tuple(name.lower().encode() for name in policy.vary),
        rate=effective_rate(handler),
    )


def _path_parser(route: HTTPRoute) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    parsers = {name: parameter.parser or str for name, parameter in route.path_parameters.items()}
    return lambda texts: {name: parse(texts[name]) for name, parse in parsers.items()}


def _query_parser(kind: type[Struct] | None) -> Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]:
    """Parses a query string like the handler and normalizes it: fields in Struct order, without defaults."""
    if kind is None:
        return lambda _: ({}, b"")
    defaults = {field.encode_name: field.default for field in fields(kind)}

    def parse(query_string: bytes) -> tuple[Mapping[str, Any], bytes] | None:
        try:
            filters = decode_query(query_string, kind)
        except AppError:
            return None  # the handler responds with the error
        values = {name: getattr(filters, name) for name in kind.__struct_fields__}
        non_default = {name: value for name, value in values.items() if value != defaults[name]}
        return values, urlencode(
            {name: _encode(value) for name, value in msgspec.to_builtins(non_default).items()}
        ).encode()

    return parse


def _encode(value: Any) -> Any:
    return msgspec.json.encode(value) if isinstance(value, bool) else value


def _tag_builder(tags: Tags) -> Callable[[Mapping[str, Any]], Sequence[str]]:
    if callable(tags):
        return tags
    templates = tuple(tags)
    return lambda values: [template.format_map(values) for template in templates]
