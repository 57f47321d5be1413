"""Secrets that have to be read again, kept so that a copy of the database alone tells nothing of them."""

from collections.abc import Sequence
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}


class DecryptionError(Exception):
    """It was sealed with a key that is not there any more, or has been altered."""


class SecretBox:
    """Encrypts and authenticates (JWE, AES-256-GCM). The first of the keys, of 32 bytes each, seals; all open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [OctKey.import_key(key) for key in keys]

    def encrypt(self, plaintext: str) -> str:
        return jwe.encrypt_compact(_HEADER, plaintext, self._keys[0])

    def decrypt(self, token: str) -> str:
        """Raises DecryptionError."""
        for key in self._keys:
            try:
                plaintext = jwe.decrypt_compact(token, key, algorithms=list(_HEADER.values())).plaintext
            except (JoseError, ValueError):
                continue
            if plaintext is not None:
                return plaintext.decode()
        raise DecryptionError
