"""The form of API keys."""

import zlib

import pytest

from restwell.accounts._api_keys.tokens import ApiKeyFormat


@pytest.mark.parametrize("prefix", ["", "shop", "Shop_", "eyJ_", "_", "shop-_", "ß_", "a" * 40 + "_"])
def test_an_invalid_prefix_is_an_error_at_start(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"use lower-case letters, digits and underscores"):
        ApiKeyFormat(prefix)


def test_the_checksum_of_a_key_is_its_crc_32_in_base_62() -> None:
    """For secret scanners: of all that precedes it, most significant digit first; digits, then a-z, then A-Z."""
    unchecked, keys = "rwk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", ApiKeyFormat("rwk_")
    assert zlib.crc32(unchecked.encode()) == 3_340_422_215
    assert keys.is_complete(unchecked + "3E44pF")
    assert not keys.is_complete(unchecked + "000000")


def test_keys_are_complete_and_different() -> None:
    keys = ApiKeyFormat("rwk_")
    generated = {keys.generate() for _ in range(1_000)}
    assert len(generated) == 1_000
    assert all(map(keys.is_complete, generated))
