"""Signed tokens and public keys of others, behind one exception."""

from collections.abc import Collection
from typing import Any, Final, TypeVar

from joserfc import jws
from joserfc.jwk import KeyFlexible, KeySet
from msgspec import json

T = TypeVar("T")

MAX_KEYS: Final = 100


class InvalidToken(Exception):
    """The token, or the key set, is not valid."""


def decode(token: str, key: KeyFlexible, algorithms: Collection[str], kind: type[T]) -> tuple[dict[str, Any], T]:
    """The header and the claims of a signed token, whose signature is right. Raises InvalidToken, and nothing else.

    Whatever ``key`` raises is an InvalidToken, too.
    """
    try:
        decoded = jws.deserialize_compact(token, key, algorithms)
        header, claims = decoded.headers(), json.decode(decoded.payload or b"", type=kind)
    except Exception as error:  # joserfc raises whatever a wrong type makes it raise
        raise InvalidToken(repr(error)) from error
    if "crit" in header:  # RFC 7515 4.1.11: we understand none
        raise InvalidToken("it has critical header parameters")
    return header, claims


def import_key_set(document: Any) -> KeySet:
    """The keys of a JSON Web Key Set that can be used. Raises InvalidToken where there is none, and nothing else."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise InvalidToken("no key set")
    imported = KeySet([])
    for key in keys:
        try:
            imported.keys.append(KeySet.registry_cls.import_key(key))
        except Exception:  # noqa: BLE001, S112  # as above; RFC 7517 5: a key that is not understood is ignored
            continue
    if not imported.keys:
        raise InvalidToken("no key in the key set can be used")
    return imported
