"""Base64url, in which each value has exactly one encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restwell import _base64url


@given(st.binary(max_size=40))
def test_every_value_decodes_from_its_encoding(data: bytes) -> None:
    text = _base64url.encode(data)
    assert _base64url.decode(text) == data
    assert "=" not in text


@pytest.mark.parametrize("text", ["YQ==", "YQ=", "YR", "Y", "YW+", "YW/", "Y Q", "YQ\n", "\u0178Q", "YQ==YQ"])
def test_another_spelling_of_a_value_is_refused(text: str) -> None:
    """Breaks with the decoder alone, which ignores padding, other characters and the last bits."""
    with pytest.raises(ValueError):  # noqa: PT011  # any: the text is not reported
        _base64url.decode(text)
