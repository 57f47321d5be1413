"""Public response caching of a route: ``@get(cache=public(ttl_seconds=60, tags=["product:{product_id}"]))``."""

from collections.abc import Callable, Mapping, Sequence
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
    return Public(ttl_seconds, tags, client_seconds, tuple(vary))


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
