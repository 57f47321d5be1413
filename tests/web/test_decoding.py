"""Ambiguous and oversized JSON bodies are rejected."""

import pytest
from msgspec import Struct

from restwell.errors import Invalid, MalformedRequest
from restwell.web._decoding import MAX_VALUES, decode_body
from restwell.web._validation import MAX_CHARS, MAX_ERRORS


class Line(Struct, forbid_unknown_fields=True):
    product: str
    quantity: int


class Draft(Struct, forbid_unknown_fields=True):
    lines: list[Line]


GOOD = b'{"lines": [{"product": "a", "quantity": 1}, {"product": "b", "quantity": 2}]}'


def test_different_objects_of_a_body_may_have_the_same_fields() -> None:
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
    """Breaks with the decoder alone: it uses the last value."""
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
        b'{"lines": ' + b"[" * 10_000,
        b'{"x": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    ],
    ids=range(13),
)
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode_body(body, Draft)


@pytest.mark.parametrize("number", ["1" + "0" * 5_000, "1e999", "-1e999", "1" + "0" * 30 + ".5", "1.0", "1e1"])
def test_a_number_out_of_range_is_reported_at_its_field(number: str) -> None:
    """Breaks when the second validation decodes the body without types: "not valid JSON"."""
    with pytest.raises(Invalid) as refused:
        decode_body(b'{"lines": [{"product": "a", "quantity": %s}]}' % number.encode(), Draft)
    fault = refused.value.errors[0]
    assert (fault.path, "range" in fault.message or "Expected `int`" in fault.message) == ("$.lines[0].quantity", True)


def test_an_integer_of_thousands_of_digits_in_an_unread_field_is_ignored() -> None:
    """Breaks when the check of duplicate names parses it as an integer: ValueError, for Python's limit of digits."""

    class Open(Struct):
        name: str

    assert decode_body(b'{"name": "a", "more": 1%s}' % (b"0" * 5_000), Open) == Open("a")


def test_the_report_on_an_invalid_body_is_bounded() -> None:
    """Breaks when unknown names are not truncated: the response is fifty times the request."""
    names = ",".join(f'"{"n" * 10_000}{number}": 1' for number in range(60))
    with pytest.raises(Invalid) as refused:
        decode_body(f'{{"lines": 1, {names}}}'.encode(), Draft)
    assert len(refused.value.errors) == MAX_ERRORS
    assert max(len(fault.path + fault.message) for fault in refused.value.errors) < 2 * MAX_CHARS
    with pytest.raises(MalformedRequest) as repeated:
        decode_body(b'{"%s": 1, "%s": 1}' % ((b"n" * 10_000,) * 2), dict[str, int])
    assert len(repeated.value.detail) < MAX_CHARS


def test_a_body_with_too_many_values_is_refused() -> None:
    many = b",".join([b"[]"] * MAX_VALUES)
    with pytest.raises(MalformedRequest, match="50,000 values"):
        decode_body(b"[%s]" % many, list[list[int]])
