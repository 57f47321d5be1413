"""Ciphertexts can be decrypted with the key that encrypted them, also after a key rotation."""

import pytest

from restwell.auth import DecryptionError, SecretBox

NEW, OLD = b"n" * 32, b"o" * 32


def test_a_previous_key_still_opens_what_it_sealed() -> None:
    sealed = SecretBox([OLD]).encrypt("secret")
    assert SecretBox([NEW, OLD]).decrypt(sealed) == "secret"
    assert SecretBox([OLD]).encrypt("secret") != sealed, "each time another"
    with pytest.raises(DecryptionError):
        SecretBox([NEW]).decrypt(sealed)


def test_an_altered_value_does_not_open() -> None:
    sealed = SecretBox([NEW]).encrypt("secret")
    for other in (sealed[:-2] + "AA", sealed.replace(".", ""), "", "\u00e9"):
        with pytest.raises(DecryptionError):
            SecretBox([NEW]).decrypt(other)
