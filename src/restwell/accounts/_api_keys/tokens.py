"""The form of an API key: a prefix, 43 random characters and a checksum, as in ``rwk_...``.

The prefix and the checksum let secret scanners find leaked keys without false positives.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

ALPHABET: Final = string.digits + string.ascii_letters
RANDOM_CHARS: Final = 43
"""256 bits."""
CHECKSUM_CHARS: Final = 6
SHOWN_CHARS: Final = 5
"""Random characters of ``start_of``: enough to tell the keys of a user apart."""
_PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,30}_").fullmatch


class ApiKeyFormat:
    """Generates keys, and recognises them. Raises ValueError for an invalid prefix.

    A prefix has lower-case letters, digits and underscores, and ends with an underscore. No JWT begins like that.
    """

    def __init__(self, prefix: str) -> None:
        if _PREFIX(prefix) is None:
            raise ValueError(
                f"api_key_prefix={prefix!r}: use lower-case letters, digits and underscores, with an underscore at the"
                ' end, as in "shop_"'
            )
        self.prefix: Final = prefix
        self._length = len(prefix) + RANDOM_CHARS + CHECKSUM_CHARS

    def generate(self) -> str:
        unchecked = self.prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
        return unchecked + _checksum(unchecked)

    def is_complete(self, key: str) -> bool:
        """Whether the length and the checksum are those of a key. A mistyped key is not complete."""
        return len(key) == self._length and _checksum(key[:-CHECKSUM_CHARS]) == key[-CHECKSUM_CHARS:]

    def start_of(self, key: str) -> str:
        """The characters that are stored and shown."""
        return key[: len(self.prefix) + SHOWN_CHARS]


def digest(key: str) -> bytes:
    """The hash to store. Keys have 256 random bits, so SHA-256 needs no salt.

    Keys are found by their hash, so the duration of a lookup reveals nothing about a key.
    """
    return hashlib.sha256(key.encode()).digest()


def _checksum(text: str) -> str:
    value, characters = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        value, index = divmod(value, len(ALPHABET))
        characters = ALPHABET[index] + characters
    return characters
