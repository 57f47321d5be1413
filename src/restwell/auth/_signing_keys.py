"""Signing keys of access tokens, derived from secrets or read from PEM files. The first key signs; all keys verify.

Rotation without downtime: append the new key, move it to the front, then remove the old key.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from msgspec import Struct

from restwell.auth._key_derivation import KeyDeriver
from restwell.errors import ConfigurationError

PURPOSE: Final = "access-token"
_KEYGEN_HINT: Final = "generate one with: openssl genpkey -algorithm ed25519 -out jwt.pem"
_KINDS: Final[tuple[tuple[type[OKPKey | ECKey], str, str], ...]] = (
    (OKPKey, "Ed25519", "Ed25519"),  # RFC 9864, which replaces "EdDSA"
    (ECKey, "P-256", "ES256"),
)


class SigningKey(Struct, frozen=True):
    """``id`` is the ``kid`` header. The algorithm belongs to the key and is never taken from a token (RFC 8725 3.1)."""

    id: str
    algorithm: str
    key: OctKey | ECKey | OKPKey

    @property
    def can_sign(self) -> bool:
        return isinstance(self.key, OctKey) or self.key.is_private


def from_secrets(secrets: Iterable[str]) -> list[SigningKey]:
    """Derive HS256 keys. Their ids are derived too and do not reveal the secret."""
    return [
        SigningKey(deriver.derive(f"{PURPOSE}-id").hex()[:16], "HS256", OctKey.import_key(deriver.derive(PURPOSE)))
        for deriver in map(KeyDeriver, secrets)
    ]


def from_files(paths: Iterable[Path]) -> list[SigningKey]:
    """Read Ed25519 or P-256 (ES256) keys from PEM files. A public key only verifies; the first must be a private key.

    The ids are thumbprints (RFC 7638). Raises ConfigurationError naming an unusable file.
    """
    keys = [_from_file(path) for path in paths]
    if not keys[0].can_sign:
        raise ConfigurationError(["JWT_KEY_FILES: the first file must hold a private key"])
    return keys


def public_key_set(keys: Sequence[SigningKey]) -> dict[str, Any] | None:
    """The JSON Web Key Set (RFC 7517) of the public keys; None if all keys are symmetric."""
    public = [key for key in keys if not isinstance(key.key, OctKey)]
    if not public:
        return None
    return {"keys": [_public(key) for key in public]}


def _public(key: SigningKey) -> dict[str, Any]:
    return {**key.key.as_dict(private=False), "kid": key.id, "alg": key.algorithm, "use": "sig"}


def _from_file(path: Path) -> SigningKey:
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"JWT_KEY_FILES: {path}: {error.strerror}"]) from None
    for kind, curve, algorithm in _KINDS:
        try:
            key = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
        if key.curve_name == curve:
            return SigningKey(key.thumbprint(), algorithm, key)
    raise ConfigurationError([f"JWT_KEY_FILES: {path} is not an Ed25519 or P-256 key in PEM; {_KEYGEN_HINT}"])
