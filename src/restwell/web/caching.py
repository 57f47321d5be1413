"""Declaring that everyone may have the same answer: ``@get(cached=public(ttl_seconds=60, tags=["product:{product_id}"]))``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct
from msgspec.structs import fields

from restwell.edge.response_cache import CachedRoute
from restwell.errors import AppError
from restwell.web.paths import path_pattern
from restwell.web.rate_limits import effective_rate, route_guards
from restwell.web.request import decode_query

Tags = Sequence[str] | Callable[[Mapping[str, Any]], Sequence[str]]


class Public(Struct, frozen=True):
    """What ``public`` was told."""

    ttl_seconds: float
    tags: Tags
    client_seconds: int
    vary: tuple[str, ...]


def public(*, ttl_seconds: float, tags: Tags, client_seconds: int = 0, vary: Sequence[str] = ()) -> Public:
    """The answer of a GET route is the same for everyone, and may be kept for ``ttl_seconds``, until one of ``tags`` is written to.

    Tags may name parameters of path and query, as ``"product:{product_id}"``; or be a function of their values. Clients ask again
    before each use, which is a 304 while nothing has changed; with ``client_seconds`` they need not, and may be that much behind.
    Of the request's headers the handler sees those in ``vary`` alone. 404 is kept too, for seconds.
    """
    return Public(ttl_seconds, tags, client_seconds, tuple(vary))


def cached_routes(app: Litestar) -> list[CachedRoute]:
    """The routes that declare it. Raises TypeError for one with a guard, or with another method than GET."""
    return [
        _cached_route(route, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if isinstance(handler.opt.get("cached"), Public)
    ]


def _cached_route(route: HTTPRoute, handler: HTTPRouteHandler) -> CachedRoute:
    rule: Public = handler.opt["cached"]
    if route_guards(handler) or handler.http_methods != {"GET"}:
        raise TypeError(f"{handler.handler_name} cannot be cached for everyone: it has guards, or changes something")
    filters = handler.parsed_fn_signature.parameters.get("filters")
    return CachedRoute(
        template=route.path_format,
        pattern=path_pattern(route.path),
        handler=handler,
        read_path=_path_reader(route),
        read_query=_reader(filters.annotation if filters is not None else None),
        tags=_tagger(rule.tags),
        ttl_seconds=rule.ttl_seconds,
        client_seconds=rule.client_seconds,
        vary=tuple(name.lower().encode() for name in rule.vary),
        rate=effective_rate(handler),
    )


def _path_reader(route: HTTPRoute) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    parsers = {name: one.parser or str for name, one in route.path_parameters.items()}
    return lambda found: {name: parse(found[name]) for name, parse in parsers.items()}


def _reader(kind: type[Struct] | None) -> Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]:
    """Reads a query as the handler will, and writes it in the order of the Struct, without defaults and what it does not know."""
    if kind is None:
        return lambda _: ({}, b"")
    defaults = {field.encode_name: field.default for field in fields(kind)}

    def read(query_string: bytes) -> tuple[Mapping[str, Any], bytes] | None:
        try:
            filters = decode_query(query_string, kind)
        except AppError:
            return None  # the handler says what is wrong
        values = {name: getattr(filters, name) for name in kind.__struct_fields__}
        given = {name: value for name, value in values.items() if value != defaults[name]}
        return values, urlencode({name: _written(value) for name, value in msgspec.to_builtins(given).items()}).encode()

    return read


def _written(value: Any) -> Any:
    return msgspec.json.encode(value) if isinstance(value, bool) else value


def _tagger(tags: Tags) -> Callable[[Mapping[str, Any]], Sequence[str]]:
    if callable(tags):
        return tags
    templates = tuple(tags)
    return lambda values: [template.format_map(values) for template in templates]
