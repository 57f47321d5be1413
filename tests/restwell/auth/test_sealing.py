"""What is sealed opens with the key that sealed it, also once that is an old one."""

import pytest

from restwell.auth.sealing import CannotOpen, Sealing

NEW, OLD = b"n" * 32, b"o" * 32


def test_a_previous_key_still_opens_what_it_sealed() -> None:
    sealed = Sealing([OLD]).seal("secret")
    assert Sealing([NEW, OLD]).open(sealed) == "secret"
    assert Sealing([OLD]).seal("secret") != sealed, "each time another"
    with pytest.raises(CannotOpen):
        Sealing([NEW]).open(sealed)


def test_an_altered_value_does_not_open() -> None:
    sealed = Sealing([NEW]).seal("secret")
    for other in (sealed[:-2] + "AA", sealed.replace(".", ""), "", "\u00e9"):
        with pytest.raises(CannotOpen):
            Sealing([NEW]).open(other)
