"""Worst-case texts for parsers, and the measurement that the time of a parser grows linearly."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import Annotated, Final

from msgspec import Meta, Struct, ValidationError

from fuzzing import block_seconds
from restwell.errors import AppError

MARK: Final = "time grows linearly; <= 50 ms"
LONG: Final = 65_536
TIMES: Final = 4
RATIO: Final = 2 * TIMES
MOMENT: Final = 0.01
"""Too short to measure the growth."""
Text = Callable[[int], str]


def of(unit: str, before: str = "", after: str = "") -> Text:
    return lambda chars: before + unit * (chars // len(unit)) + after


UNITS: Final = (
    *(
        "a",
        " ",
        "\t ",
        '"',
        "\\",
        '\\"',
        "\\0",
        ",",
        ", ,",
        ";",
        "=",
        "%",
        "%41",
        "%ff",
        "(",
        "a=1; ",
        'a="',
        '"1", ',
        "W/",
    ),
    *(
        "1",
        "-",
        ".",
        ":",
        "@",
        "a@b.",
        "=?",
        "\xe9",
        "&",
        "&a=b",
        "+",
        "`",
        "q=0,",
        "gzip;",
        "1.1.1.1,",
        "::,",
        "a/b;",
        "0x",
    ),
)
WORST: Final = {
    **{repr(unit): of(unit) for unit in UNITS},
    **{f'"1"{unit!r}x': of(unit, '"1"', "x") for unit in (" ", "\t ", ",", ", ,", '"', "\\")},
    **{f'a="{unit!r}"': of(unit, 'a="', '"') for unit in ("\\", '\\"', "\\0", "\\054", " ", ";", "%")},
    **{f"Basic/Bearer {unit!r}": of(unit, "Bearer ") for unit in ("a", "a.", ".", "=", " ")},
    "names": lambda chars: "&".join(f"a{number}={number}" for number in range(chars // 10)),
    "cookies": lambda chars: "; ".join(f"a{number}={number}" for number in range(chars // 11)),
}


class Line2(Struct, forbid_unknown_fields=True):
    product: Annotated[str, Meta(max_length=10)]
    quantity: Annotated[int, Meta(ge=1)]


class Draft(Struct, forbid_unknown_fields=True):
    lines: list[Line2]
    nested: list[list[Line2]] = []
    more: dict[str, int] = {}


def numbered(chars: int, one: str) -> str:
    return ",".join(one.replace("#", str(number)) for number in range(chars // (len(one) + 5)))


JSON: Final = {
    "a name repeated": lambda chars: f'{{{numbered(chars, chr(34) + "n#" + chr(34) + ":1")}, "n1": 2}}',
    "a name repeated within": lambda chars: (
        f'{{"more": {{{numbered(chars, chr(34) + "n#" + chr(34) + ":1")}, "n1": 2}}}}'
    ),
    "unknown names": lambda chars: f"{{{numbered(chars, chr(34) + 'n#' + chr(34) + ':1')}}}",
    "one unknown name": of("n", '{"', '": 1}'),
    "a name that looks like a path": of(" - at `", '{"', '": 1}'),
    "faults": of('{"product":1},', '{"lines": [', "1]}"),
    "faults of lists": of('[{"product":1}],', '{"lines": [], "nested": [', "1]}"),
    "good, then a fault": of('{"product":"a","quantity":1},', '{"lines": [', "1]}"),
    "good lists, then a fault": of('[{"product":"a","quantity":1}],', '{"lines": [], "nested": [', "1]}"),
    "empty objects": of("{},", '{"lines": [', "1]}"),
    "empty lists": of("[],", '{"lines": [], "nested": [', "1]}"),
    "deep lists": of("[", '{"lines": '),
    "deep objects": of('{"a":', '{"x": '),
    "deep and closed": lambda chars: "[" * (chars // 2) + "]" * (chars // 2),
    "an integer": of("1", '{"lines": [{"product": "a", "quantity": ', "}]}"),
    "a fraction": of("1", '{"lines": [{"product": "a", "quantity": 1.', "}]}"),
    "an exponent": of("1", '{"lines": [{"product": "a", "quantity": 1e', "}]}"),
    "a string": of("a", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "escapes": of("\\u00e9", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "halves of characters": of("\\ud800", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "quotes": of('\\"', '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "spaces": of(" ", "{", "}"),
    "spaces at the end": of("\n", '{"lines": []}', "x"),
    "integers": of("1,", '{"more": {"a": 1}, "lines": [', "1]}"),
}
"""Bodies, most of them invalid: those are validated twice."""

PART: Final = 'content-disposition: form-data; name="file"; filename="a"'
FORMS: Final = {
    "content": of("a", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "nearly the boundary": of("\r\n--", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "line ends": of("\r", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "parts": of(f"--x\r\n{PART}\r\n\r\n\r\n"),
    "headers": of("a: b\r\n", "--x\r\n"),
    "a header": of("a", "--x\r\n"),
    "a disposition": of('; a="', "--x\r\ncontent-disposition: form-data", "\r\n\r\n\r\n--x--\r\n"),
    "continuations": of(" a\r\n", "--x\r\na: b\r\n"),
    "before": of("--x "),
}


def seconds(parse: Callable[[str], object], text: str) -> float:
    gc.disable()  # it must not wait
    try:
        start = time.thread_time()
        with suppress(AppError, ValidationError):
            copy_context().run(parse, text)  # context variables are discarded after the test
        return time.thread_time() - start
    finally:
        gc.enable()


def grown(measure: Callable[[int], float], chars: int, label: str) -> float:
    """Return the seconds for this number of characters. Fails if they grow faster than linearly."""
    short = measure(chars // TIMES)
    if short >= block_seconds():  # before measuring four times the length
        short = min(measure(chars // TIMES) for _ in range(3))
        assert short < block_seconds(), label
    long = measure(chars)
    if long > MOMENT:
        short = min(short, *(measure(chars // TIMES) for _ in range(3)))
        long = min(long, *(measure(chars) for _ in range(3)))
        assert long <= MOMENT or long < RATIO * short, (
            f"{label}: {short * 1e3:.1f} ms, {TIMES} times as long {long * 1e3:.1f} ms"
        )
        assert long < block_seconds(), label
    return long


def told_of(slowest: list[tuple[float, str]]) -> str:
    return ", ".join(f"{name} {took * 1e3:.1f} ms" for took, name in sorted(slowest, reverse=True)[:3])


def slowest_of(table: Iterable[tuple[str, Callable[[str], object], Mapping[str, Text]]]) -> list[tuple[float, str]]:
    """Run each parser on each of its texts. Returns the seconds of each."""
    slowest: list[tuple[float, str]] = []
    gc.freeze()  # as the server does (restwell.testing): the collector skips objects of the tests
    for name, parse, texts in table:
        for label, text in texts.items():
            one = f"{name}, {label}"
            slowest.append((grown(lambda chars: seconds(parse, text(chars)), LONG, one), one))  # noqa: B023
    return slowest
