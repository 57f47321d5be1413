"""Keys for each purpose, all derived from the one secret, so that none can stand in for another."""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from restwell.errors import ConfigurationError


class KeyDeriver:
    """Derives a 32-byte key for a purpose from the secret (the expand step of HKDF, RFC 5869 2.3, one block)."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def derive(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\x01", "sha256")

    def __repr__(self) -> str:
        return "<KeyDeriver>"


def development_secret(path: Path) -> str:
    """The secret of this working copy: made at random on first use, then read by every worker and restart.

    Raises ConfigurationError where it can be neither read nor written.
    """
    try:
        return path.read_text() if path.exists() else _made(path)
    except OSError as error:
        raise ConfigurationError(
            [f"JWT_SECRET: {path} cannot be made or read: {error.strerror}; set JWT_SECRET"]
        ) from error


def _made(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        # Written aside and linked into place: a second process never reads half a secret.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        try:
            draft.write_text(secrets.token_urlsafe(48))
            os.link(draft, path)
        finally:
            draft.unlink()
    return path.read_text()
