"""Mutations of valid input for fuzzing: truncated, repeated, encoded, or with a token that some parser misreads.

::

targets = from_choices(lambda choose: b"/v1/products?q=" + mutated(choose, b"headphones"))

Hypothesis draws a few bytes, and each byte is one choice. That costs a tenth of its strategies for lists, texts and
recursion: a thousand inputs take a second. A failure shrinks to few mutations, because a byte of 0 makes the simplest
choice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices:
    """Choices determined by bytes. When the bytes are used up, every choice is the first option."""

    def __init__(self, drawn: bytes) -> None:
        self._drawn = iter(drawn)

    def below(self, count: int) -> int:
        value = next(self._drawn, 0)
        return (value if count <= 256 else value * 256 + next(self._drawn, 0)) % count

    def of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]


def from_choices(make: Callable[[Choices], T], *, size: int = 24) -> st.SearchStrategy[T]:
    """The results of ``make``, with choices from ``size`` random bytes."""
    return st.binary(min_size=size, max_size=size).map(lambda drawn: make(Choices(drawn)))


PIECES: Final = (
    b"",
    *(b"\x00", b"\r", b"\n", b"\r\n", b"\t", b"\x0b", b" ", b"\x1f", b"\x7f"),
    # Not UTF-8: truncated, overlong, a surrogate, beyond Unicode, UTF-16 and UTF-7.
    *(b"\x80", b"\xff", b"\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
      b"\xff\xfea", b"+ADw-"),
    *(
        one.encode()
        # Bidirectional, zero width, not normalised, length-changing upper case, other digits and signs, outside the
        # BMP.
        for one in (
            *("\u202e", "\u2066", "\u200b", "\ufeff", "e\u0301", "\u00e9", "\u0130", "\u00df", "\ufb03", "\u0663"),
            *("\uff10", "\uff05", "\uff0f", "\u2028", "\U0001f600", "\U000e0041"),
        )
    ),
    *(b"%", b"%00", b"%0d%0a", b"%ff", b"%c0%ae", b"%2e%2e%2f", b"%2F", b"%252f", b"%u0041", b"%4", b"+",
      b"&", b"=", b";"),
    *(b"../", b"/..;/", b"//", b"\\", b"?", b"#", b"@", b":", b",", b'"', b'\\"', b"'", b"(", b")", b"*",
      b"<", b"|", b"~"),
    *(b"0", b"-1", b"-0", b"1.0", b"1e400", b"NaN", b"Infinity", b"0x10", b"1_0", b"9" * 19, b"9" * 400, b"9" * 5_000),
    *(b"2147483648", b"9223372036854775808", b"18446744073709551616", b"null", b"true", b"[]", b"{}", b"undefined"),
    *(b"' OR 1=1--", b"{{7*7}}", b"${jndi:x}", b"=?utf-8?q?=41?=", b"; charset=utf-7", b"%s%n", b"__proto__",
      b"[" * 900),
    *(b"9999-12-31T23:59:60Z", b"0000-00-00", b"00000000-0000-0000-0000-000000000000",
      b"urn:uuid:" + b"0" * 32, b"[::1%25a]"),
)  # fmt: skip
"""Tokens that parsers, decoders, databases or proxies may misread."""

_REPEATS: Final = (2, 3, 17, 101, 1_500)
_MAX_BYTES: Final = 40_000


def _insert(choose: Choices, value: bytes) -> bytes:
    at = choose.below(len(value) + 1)
    return value[:at] + choose.of(PIECES) + value[at:]


def _replace(choose: Choices, value: bytes) -> bytes:
    at = choose.below(len(value) + 1)
    return value[:at] + choose.of(PIECES) + value[at + 1 :]


def _cut(choose: Choices, value: bytes) -> bytes:
    return value[: choose.below(len(value) + 1)]


def _repeat(choose: Choices, value: bytes) -> bytes:
    return value * choose.of(_REPEATS)


def _repeat_inside(choose: Choices, value: bytes) -> bytes:
    at = choose.below(len(value) + 1)
    end = at + 1 + choose.below(4)
    return value[:at] + value[at:end] * choose.of(_REPEATS) + value[end:]


def _encode(choose: Choices, value: bytes) -> bytes:
    at = choose.below(len(value) + 1)
    form = choose.of((b"%%%02X", b"%%%02x", b"%%25%02X", b"\\x%02x", b"\\u00%02x", b"&#%d;"))
    return value[:at] + b"".join(form % byte for byte in value[at : at + 1]) + value[at + 1 :]


def _encode_all(choose: Choices, value: bytes) -> bytes:
    form = choose.of((b"%%%02X", b"%%%02x", b"%%%%%02x"))
    return b"".join(form % byte for byte in value)


def _replace_all(choose: Choices, _: bytes) -> bytes:
    return choose.of(PIECES)


def _quote(choose: Choices, value: bytes) -> bytes:
    before, after = choose.of(
        ((b'"', b'"'), (b" ", b" "), (b"{", b"}"), (b"'", b"'"), (b'"', b""), (b"W/", b""), (b"<", b">"))
    )
    return before + value + after


def _swap_case(_: Choices, value: bytes) -> bytes:
    return value.swapcase()


def _double(choose: Choices, value: bytes) -> bytes:
    return value + choose.of((b",", b";", b"&", b", ", b"/", b"")) + value


_MUTATIONS: Final = (
    *(_insert, _replace, _cut, _repeat, _repeat_inside, _encode, _encode_all, _replace_all, _quote,
      _swap_case, _double),
    *(_insert, _replace, _replace_all),  # weighted
)  # fmt: skip


def mutated(choose: Choices, valid: bytes) -> bytes:
    """The valid value with up to three mutations."""
    value = valid
    for _ in range(choose.of((0, 1, 1, 1, 2, 3))):
        value = choose.of(_MUTATIONS)(choose, value)[:_MAX_BYTES]
    return value


_RAW: Final = "\x01raw\x01"
_QUOTED: Final = json.dumps(_RAW).encode()
_NAMES: Final = (
    b'"id"',
    b'"name"',
    b'"email"',
    b'"items"',
    b'""',
    b'"\\u0000"',
    b'"a.b"',
    b'"__proto__"',
    b"a",
    b"1",
    b"null",
)
_SCALARS: Final = (
    *(b"null", b"true", b"false", b"0", b"-1", b"1", b"1.0", b"1e2", b"1E400", b"-0.0", b"01", b".5", b"1.",
      b"+1", b"0x1"),
    *(b"9" * 19, b"9" * 400, b"9" * 6_000, b"-" + b"9" * 20, b"1." + b"0" * 400, b"NaN", b"Infinity", b"TRUE",
      b"undefined"),
    *(b'""', b'"a"', b"'a'", b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\x41"', b'"a', b'"\n"',
      b'"\xff"', b'"\xed\xa0\x80"'),
    *(b"[]", b"{}", b"[null]", b"[" * 200 + b"]" * 200, b"[" * 40_000, b'{"a":' * 300, b'{"a":1,"a":2}',
      b"/**/1", b"[1,]", b"{,}"),
)  # fmt: skip


def any_json(choose: Choices, depth: int = 0) -> bytes:
    """A JSON value, or an almost valid one."""
    kind = choose.below(8 if depth < 4 else 6)
    if kind < 4:
        return choose.of(_SCALARS)
    if kind < 6:
        text = choose.of(PIECES)
        return b'"' + (text if kind == 5 else json.dumps(text.decode(errors="replace"))[1:-1].encode()) + b'"'
    inner = [any_json(choose, depth + 1) for _ in range(choose.below(4))]
    if kind == 6:
        return b"[" + b",".join(inner) + b"]"
    return b"{" + b",".join(choose.of(_NAMES) + b":" + one for one in inner) + b"}"


def mutated_json(choose: Choices, valid: Any) -> bytes:
    """A valid body with mutated values, names or bytes."""
    how = choose.below(8)
    if how == 0:
        return any_json(choose)
    if how == 1:
        return mutated(choose, json.dumps(valid).encode())
    copy = json.loads(json.dumps(valid))
    holder, key = choose.of(_places(copy))
    raw = any_json(choose)
    if how == 2:
        del holder[key]
    elif how == 3 and isinstance(holder, dict):
        holder[choose.of(("extra", "", "ID", f"{key} ", f"{key}\u0000", "\ud800"))] = holder[key]
    elif how == 4 and isinstance(holder, list):
        holder.extend([holder[key]] * choose.of(_REPEATS))
    elif isinstance(holder[key], str) and how < 7:
        text = mutated(choose, holder[key].encode())
        holder[key] = _RAW
        raw = json.dumps(text.decode(errors="surrogateescape"), ensure_ascii=how == 5).encode(errors="surrogateescape")
    else:
        holder[key] = _RAW
    return json.dumps(copy).encode().replace(_QUOTED, raw)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every object and list in the value, with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        found += [(value, key) for key in value]
    elif isinstance(value, list):
        found += [(value, key) for key in range(len(value))]
    return found + [place for holder, key in list(found) for place in _places(holder[key])]


NO_FIELD_VALUE: Final = bytes({*range(32), 127} - {9})
"""Servers reject these bytes in a header value."""
lines: Final = st.binary().map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t"))
"""Valid bytes of a header field."""


def damaged(right: bytes) -> st.SearchStrategy[bytes]:
    """The valid bytes with some changed, removed or added."""
    places = st.integers(0, len(right))
    return st.builds(lambda at, cut, new: right[:at] + new + right[at + cut :], places, st.integers(0, 3), lines)
