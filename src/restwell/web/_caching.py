"""Public response caching of a route: ``@get(cache=public(ttl_seconds=60, tags=["product:{product_id}"]))``."""

from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from restwell.edge._route import CachePolicy
from restwell.errors import AppError
from restwell.web._decoding import decode_query

Tags = Sequence[str] | Callable[[Mapping[str, Any]], Sequence[str]]


class Public(Struct, frozen=True):
    """The arguments of ``public``."""

    ttl_seconds: float
    tags: Tags
    client_seconds: int
    vary: tuple[str, ...]

    def placeholders(self) -> set[str]:
        """The names of the path and query parameters in the tags; empty for a function."""
        tags = () if callable(self.tags) else self.tags
        return {name or "{}" for tag in tags for _, name, _, _ in Formatter().parse(tag) if name is not None}

    def policy(self, filters: type[Struct] | None) -> CachePolicy:
        """The cache policy of a route with these query parameters."""
        return CachePolicy(
            self.ttl_seconds,
            self.client_seconds,
            tuple(name.lower().encode() for name in self.vary),
            _tag_builder(self.tags),
            _query_parser(filters),
        )


def public(*, ttl_seconds: float, tags: Tags, client_seconds: int = 0, vary: Sequence[str] = ()) -> Public:
    """Cache the response of a GET route for all clients, for ``ttl_seconds`` or until one of ``tags`` is invalidated.

    Tags may contain path and query parameters, such as ``"product:{product_id}"``, or be a function of their values.
    Clients revalidate before each use and get 304 while the response is unchanged. With ``client_seconds`` they may
    reuse it for that time. The handler sees only the request headers in ``vary``. A 404 is cached for a few seconds.
    """
    if ttl_seconds <= 0 or client_seconds < 0:
        raise TypeError("public: ttl_seconds must be above 0, and client_seconds not below")
    if isinstance(tags, str) or isinstance(vary, str):
        raise TypeError('public: tags and vary are lists, such as tags=["products"]')
    return Public(ttl_seconds, tags, client_seconds, tuple(vary))


def _query_parser(kind: type[Struct] | None) -> Callable[[bytes], tuple[Mapping[str, Any], bytes] | None]:
    """Parses a query string like the handler and normalizes it: fields in Struct order, without defaults."""
    if kind is None:
        return lambda _: ({}, b"")
    declared = fields(kind)

    def parse(query_string: bytes) -> tuple[Mapping[str, Any], bytes] | None:
        try:
            filters = decode_query(query_string, kind)
        except AppError:
            return None  # the handler responds with the error
        values = {field.name: getattr(filters, field.name) for field in declared}
        sent = {field.encode_name: values[field.name] for field in declared if values[field.name] != field.default}
        return values, urlencode({name: _encode(value) for name, value in msgspec.to_builtins(sent).items()}).encode()

    return parse


def _encode(value: Any) -> Any:
    return msgspec.json.encode(value) if isinstance(value, bool) else value


def _tag_builder(tags: Tags) -> Callable[[Mapping[str, Any]], Sequence[str]]:
    if callable(tags):
        return tags
    templates = tuple(tags)
    return lambda values: [template.format_map(values) for template in templates]
