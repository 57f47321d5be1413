"""The scan before the parser: what it counts, and what it does not mistake for something else."""

import pytest

from cases import each
from restwell.errors import AppError
from restwell.graphql import Limits
from restwell.graphql._scan import MAX_BRACKETS, MAX_CHARS, scan

LIMITS = Limits(aliases=2, tokens=60)


@each(
    ("text", "message"),
    [
        ("{ a: b c: d }", ""),
        ("query($a: Int, $b: [Int!] = [1]) { a(x: 1, y: {z: 1}) }", ""),
        ("query($a: Int, $b: Int, $c: Int) { d }", ""),
        ('{ a(x: "a: b: c: {{{ ... \\" @") # b: c: d: {\n }', ""),
        ('{ a(x: """ " : : : {{{ \\""" """) }', ""),
        ("{ a: b c: d e: f }", "more than 2 aliases"),
        ("{ a(x: {b: 1, c: 2}) d: e f: g h: i }", "more than 2 aliases"),
        ("{" + " a" * 60 + "}", "more than 60 tokens"),
        ("{ a" + " @b" * 21 + " }", "more than 20 directives"),
        ("{" + " ...b" * 30 + "}", "more than 60 tokens"),
        ("{ a " + " " * MAX_CHARS + "}", "more than 20,000 characters"),
        ("{ a", "not closed"),
        ("{ a }}", "a } too many"),
        ('{ a(x: "', "not closed"),
        ('{ a(x: """', "not closed"),
    ],
)
async def test_texts_beyond_a_limit_are_refused(text: str, message: str) -> None:
    """Fails if what is in strings and comments counts, or if arguments count as aliases."""
    if not message:
        scan(text, LIMITS)
        return
    with pytest.raises(AppError) as raised:
        scan(text, LIMITS)
    assert message in raised.value.detail


def test_brackets_and_fragments_are_limited() -> None:
    with pytest.raises(AppError, match="nested too deeply"):
        scan("{ a(x: " + "[" * MAX_BRACKETS + "]" * MAX_BRACKETS + ") }", Limits())
    with pytest.raises(AppError, match="more than 30 fragments"):
        scan("{" + " ...b" * 31 + "}", Limits())
