"""The keys that access tokens are signed with: derived from secrets, or read from files. The first signs, all verify.

So keys rotate with overlap: a new one is added behind the old, then moved to the front, then the old one is taken away.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from msgspec import Struct

from restwell.auth.key_derivation import KeyDeriver
from restwell.errors import ConfigurationError

PURPOSE: Final = "access-token"
_HOW: Final = "make one with: openssl genpkey -algorithm ed25519 -out jwt.pem"
_KINDS: Final[tuple[tuple[type[OKPKey | ECKey], str, str], ...]] = (
    (OKPKey, "Ed25519", "Ed25519"),  # RFC 9864, which replaces "EdDSA"
    (ECKey, "P-256", "ES256"),
)


class SigningKey(Struct, frozen=True):
    """``id`` is the token's ``kid``; the algorithm belongs to the key, never to what a token says of itself."""

    id: str
    algorithm: str
    key: OctKey | ECKey | OKPKey

    @property
    def signs(self) -> bool:
        return isinstance(self.key, OctKey) or self.key.is_private


def from_secrets(secrets: Iterable[str]) -> list[SigningKey]:
    """HS256 keys. Their ids are derived as well, and tell nothing of the secret."""
    return [
        SigningKey(derived.derive(f"{PURPOSE}-id").hex()[:16], "HS256", OctKey.import_key(derived.derive(PURPOSE)))
        for derived in map(KeyDeriver, secrets)
    ]


def from_files(paths: Iterable[Path]) -> list[SigningKey]:
    """Keys in PEM files: Ed25519, or P-256 for ES256. One that holds a public key only verifies; the first has to sign.

    Their ids are thumbprints (RFC 7638). Raises ConfigurationError saying which file is none.
    """
    keys = [_from_file(path) for path in paths]
    if not keys[0].signs:
        raise ConfigurationError(["JWT_KEY_FILES: the first file has to hold a private key, which signs"])
    return keys


def public_key_set(keys: Sequence[SigningKey]) -> dict[str, Any] | None:
    """The JSON Web Key Set (RFC 7517) that verifies their tokens; None where the keys are secret."""
    public = [one for one in keys if not isinstance(one.key, OctKey)]
    if not public:
        return None
    return {"keys": [_public(one) for one in public]}


def _public(one: SigningKey) -> dict[str, Any]:
    return {**one.key.as_dict(private=False), "kid": one.id, "alg": one.algorithm, "use": "sig"}


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
    raise ConfigurationError([f"JWT_KEY_FILES: {path} is no Ed25519 or P-256 key in PEM; {_HOW}"])
