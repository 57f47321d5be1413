"""Decoding of signed JWTs and key sets. Every failure of the library is an ``InvalidToken``."""

from collections.abc import Collection
from typing import Any, Final, TypeVar

from joserfc import jws
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeyFlexible, KeySet
from msgspec import MsgspecError, json

T = TypeVar("T")

MAX_KEYS: Final = 100


class InvalidToken(Exception):
    """The token or the key set is not valid. The message is for logs, never for clients."""


class UnknownKey(InvalidToken):
    """The key set has no key with this id for this algorithm."""


def decode(token: str, key: KeyFlexible, algorithms: Collection[str], kind: type[T]) -> tuple[dict[str, Any], T]:
    """Verify the signature and return the header and the claims. Raises the same as ``verify``."""
    header, payload = verify(token, key, algorithms)
    try:
        return header, json.decode(payload, type=kind)
    except (MsgspecError, RecursionError, ValueError) as error:
        raise InvalidToken(repr(error)) from error


def verify(token: str, key: KeyFlexible, algorithms: Collection[str]) -> tuple[dict[str, Any], bytes]:
    """Verify the signature and return the header and the payload.

    Raises InvalidToken (UnknownKey, if ``key`` is a key set) and nothing else, also for an exception that the callable
    ``key`` raises.
    """
    try:
        decoded = jws.deserialize_compact(token, key, algorithms)
        header = decoded.headers()
    except InvalidKeyIdError as error:
        raise UnknownKey(repr(error)) from error
    except Exception as error:  # joserfc raises TypeError and others for header parameters of a wrong type
        raise InvalidToken(repr(error)) from error
    if "crit" in header:  # RFC 7515 4.1.11: no critical parameter is supported
        raise InvalidToken("critical header parameters are not supported")
    return header, decoded.payload or b""


def import_key_set(document: Any) -> KeySet:
    """Import the supported keys of a JSON Web Key Set.

    Raises InvalidToken and nothing else, for a malformed set and for one without a supported key.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise InvalidToken("malformed key set")
    imported = KeySet([])
    for key in keys:
        try:
            imported.keys.append(KeySet.registry_cls.import_key(key))
        except Exception:  # noqa: BLE001, S112  # as above; RFC 7517 5: unsupported keys are ignored
            continue
    if not imported.keys:
        raise InvalidToken("no supported key in the key set")
    return imported
