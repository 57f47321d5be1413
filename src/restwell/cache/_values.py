"""How a cached value is requested, loaded and stored."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from restwell.cache._memory import Entry
from restwell.cache._metrics import CacheStats
from restwell.cache._store import Generations


class StoredValue(Struct, frozen=True, array_like=True):
    """The stored form of a value; ``seconds`` is the duration of its load."""

    generations: Generations
    expires_at: float
    seconds: float
    value: Raw


class LoadedValue(NamedTuple):
    """A value, and until when it is current.

    ``generations`` is None if a value that it depends on has none. ``expires_at`` is 0 if it was not stored.
    """

    value: Any
    generations: Generations | None
    expires_at: float


class LoadRequest(NamedTuple):
    """The arguments of ``get_or_load``.

    ``store_key`` includes a fingerprint of the type, so that two releases can share a store. ``outdated`` has the
    generations that this read has found not to be current.
    """

    key: str
    store_key: str
    kind: Any
    tags: Sequence[str]
    ttl_seconds: Callable[[Any], float]
    load: Callable[[], Awaitable[Any]]
    stats: CacheStats
    outdated: set[Generations]


def value_of(entry: Entry) -> LoadedValue:
    return LoadedValue(entry.value, entry.generations, entry.expires_at)


@lru_cache(maxsize=1_024)
def fingerprint(kind: Any) -> str:
    return hashlib.blake2b(
        msgspec.json.encode(msgspec.json.schema(kind, schema_hook=_custom_schema)), digest_size=6
    ).hexdigest()


def _custom_schema(kind: type) -> dict[str, Any]:
    """Of a custom type, such as EmailAddress, whose values are plain ones."""
    return {"title": kind.__qualname__}


@lru_cache(maxsize=1_024)
def decoder_of(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind | None)


stored_values: Final = msgspec.msgpack.Decoder(StoredValue)
