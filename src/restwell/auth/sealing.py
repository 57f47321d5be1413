"""Secrets that have to be read again, kept so that a copy of the database alone tells nothing of them."""

from collections.abc import Sequence
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}


class CannotOpen(Exception):
    """It was sealed with a key that is not there any more, or has been altered."""


class Sealing:
    """Encrypts and authenticates (JWE, AES-256-GCM). The first of the keys, of 32 bytes each, seals; all open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [OctKey.import_key(key) for key in keys]

    def seal(self, secret: str) -> str:
        return jwe.encrypt_compact(_HEADER, secret, self._keys[0])

    def open(self, sealed: str) -> str:
        """Raises CannotOpen."""
        for key in self._keys:
            try:
                opened = jwe.decrypt_compact(sealed, key, algorithms=list(_HEADER.values())).plaintext
            except (JoseError, ValueError):
                continue
            if opened is not None:
                return opened.decode()
        raise CannotOpen
