"""Derives one key per purpose from the application secret, and creates the secret of a development checkout."""

import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from restwell._atomic_file import replacing
from restwell.errors import ConfigurationError


class KeyDeriver:
    """Derives 32-byte keys from the secret: the expand step of HKDF with SHA-256, one block (RFC 5869 2.3)."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def derive(self, purpose: str) -> bytes:
        """Derive the key of a purpose. Deterministic; keys of different purposes are independent."""
        return hmac.digest(self._secret, purpose.encode() + b"\x01", "sha256")

    def __repr__(self) -> str:
        return "<KeyDeriver>"


def development_secret(path: Path) -> str:
    """Read the secret of this checkout. The first call creates it at random, atomically.

    Raises ConfigurationError if the file cannot be read or written.
    """
    try:
        return path.read_text() if path.exists() else _create(path)
    except OSError as error:
        raise ConfigurationError(
            [f"JWT_SECRET: {path} cannot be created or read: {error.strerror}; set JWT_SECRET"]
        ) from error


def _create(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A second process may create it at the same time: then the first secret is used.
    with suppress(FileExistsError), replacing(path, exclusive=True) as draft:
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
    return path.read_text()
