"""Authenticated encryption of stored secrets: a copy of the database does not reveal them."""

from collections.abc import Sequence
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}


class DecryptionError(Exception):
    """The ciphertext was encrypted with an unknown key, or was altered."""


class SecretBox:
    """JWE with AES-256-GCM. The first key encrypts; every key decrypts. Each key has 32 bytes."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [OctKey.import_key(key) for key in keys]

    def encrypt(self, plaintext: str) -> str:
        """Encrypt with the first key. The ciphertext is different on every call."""
        return jwe.encrypt_compact(_HEADER, plaintext, self._keys[0])

    def decrypt(self, ciphertext: str) -> str:
        """Raises DecryptionError."""
        for key in self._keys:
            try:
                plaintext = jwe.decrypt_compact(ciphertext, key, algorithms=list(_HEADER.values())).plaintext
            except (JoseError, ValueError):
                continue
            if plaintext is not None:
                return plaintext.decode()
        raise DecryptionError
