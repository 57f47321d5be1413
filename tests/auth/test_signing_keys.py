"""Signing keys: from secrets or PEM files, rotated without downtime, and published without their private part."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.jwk import KeySet

from restwell.auth import AccessTokens
from restwell.auth._signing_keys import SigningKey, from_files, from_secrets
from restwell.errors import ConfigurationError, Unauthorized

SECRET: Final = "a secret for tests, which is long enough to be one"
USER, SESSION = uuid4(), uuid4()

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / f"{uuid4()}.pem"
        path.write_bytes(content)
        return path

    return write


def of(keys: list[SigningKey]) -> AccessTokens:
    return AccessTokens(keys, issuer="tiny", ttl_seconds=900)


def _ed25519() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def test_signing_keys_rotate_with_overlap(key_file: Callable[[bytes], Path]) -> None:
    """The new key is appended, then signs, then the old key is removed: no unexpired token is rejected."""
    old, new = key_file(pem(_ed25519())), key_file(pem(ec.generate_private_key(ec.SECP256R1())))
    steps = [of(from_files(files)) for files in ([old], [old, new], [new, old], [new])]
    for earlier, later in pairwise(steps):
        for issuing, verifying in ((earlier, later), (later, earlier)):  # like nodes during a deploy
            if (issuing, verifying) != (steps[2], steps[3]):  # fifteen minutes later
                assert verifying.verify(issuing.issue(USER, SESSION)).sub == USER
    assert not _accepts(steps[3], steps[1].issue(USER, SESSION)), "the old key is gone"


def test_signing_secrets_rotate_with_overlap() -> None:
    old, both = of(from_secrets([SECRET])), of(from_secrets(["another secret that is long enough for this", SECRET]))
    assert both.verify(old.issue(USER, SESSION)).sub == USER
    assert not _accepts(old, both.issue(USER, SESSION))


def test_a_published_key_verifies_and_does_not_sign(key_file: Callable[[bytes], Path]) -> None:
    issuing = of(from_files([key_file(pem(_ed25519())), key_file(pem(ec.generate_private_key(ec.SECP256R1())))]))
    published = issuing.public_keys
    assert published is not None
    assert [(key["kty"], key["alg"], key["use"]) for key in published["keys"]] == [
        ("OKP", "Ed25519", "sig"),
        ("EC", "ES256", "sig"),
    ]
    assert "d" not in {name for key in published["keys"] for name in key}
    imported = KeySet.import_key_set(published)  # type: ignore[arg-type]  # as it was read from JSON
    assert jwt.decode(issuing.issue(USER, SESSION), imported, algorithms=["Ed25519"]).claims["sub"] == str(USER)
    assert of(from_secrets([SECRET])).public_keys is None


def test_a_public_key_file_verifies_and_does_not_sign(key_file: Callable[[bytes], Path]) -> None:
    key = _ed25519()
    public = key_file(public_pem(key))
    verifying = of(from_files([key_file(pem(_ed25519())), public]))
    assert verifying.verify(of(from_files([key_file(pem(key))])).issue(USER, SESSION)).sub == USER
    with pytest.raises(ConfigurationError, match="private key"):
        from_files([public])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pem(rsa.generate_private_key(65_537, 2_048)),
        pem(ec.generate_private_key(ec.SECP384R1())),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_file_without_a_supported_key_is_named(key_file: Callable[[bytes], Path], content: bytes) -> None:
    path = key_file(content)
    with pytest.raises(ConfigurationError, match=f"{path} is not an Ed25519 or P-256 key in PEM; generate one with"):
        from_files([path])
    with pytest.raises(ConfigurationError, match="No such file"):
        from_files([path.with_name("gone.pem")])


def _accepts(access_tokens: AccessTokens, token: str) -> bool:
    try:
        access_tokens.verify(token)
    except Unauthorized:
        return False
    return True
