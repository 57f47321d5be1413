"""A body says one thing, or it is refused."""

import pytest
from msgspec import Struct

from restwell.errors import Invalid, MalformedRequest
from restwell.web.request import decode_body


class Line(Struct, forbid_unknown_fields=True):
    product: str
    quantity: int


class Draft(Struct, forbid_unknown_fields=True):
    lines: list[Line]


GOOD = b'{"lines": [{"product": "a", "quantity": 1}, {"product": "b", "quantity": 2}]}'


def test_different_objects_may_have_the_same_fields() -> None:
    assert decode_body(GOOD, Draft).lines[1] == Line("b", 2)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"lines": [], "lines": []}', "lines"),
        (b'{"lines": [{"product": "a", "quantity": 1, "quantity": 100}]}', "quantity"),
        (b'{"lines": [], "l\\u0069nes": []}', "lines"),
    ],
)
def test_a_field_that_is_named_twice_is_refused(body: bytes, name: str) -> None:
    """Breaks when the decoder alone reads it, which takes the last."""
    with pytest.raises(MalformedRequest, match=f"`{name}` twice"):
        decode_body(body, Draft)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}{}",
        b"{}\x00",
        b'{"lines": NaN}',
        b'{"lines": -Infinity}',
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        b'{"lines": ' + b"[" * 100_000,
        b'{"lines": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"lines": [{"product": "a", "quantity": 1e999}]}',
    ],
    ids=range(12),
)
def test_what_is_no_json_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode_body(body, Draft)


def test_every_fault_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        decode_body(b'{"lines": [{"product": 1, "quantity": "x"}], "more": 1}', Draft)
    assert {error.path for error in refused.value.errors} >= {"$.lines[0].product", "$.lines[0].quantity"}
